"""Time zones as log lines write them: offsets, and abbreviations with the fixed offsets that fail2ban uses."""

import datetime
import functools
import re
import time

_HOURS = {
    -12: "Y",
    -11: "X NUT SST",
    -10: "W CKT HAST HST TAHT TKT",
    -9.5: "MART MIT",
    -9: "V AKST GAMT GIT HADT HNY",
    -8: "U AKDT CIST HAY HNP PST PT",
    -7: "T HAP HNR MST PDT",
    -6: "S CST EAST GALT HAR HNC MDT",
    -5: "R CDT COT EASST ECT EST ET HAC HNE PET",
    -4.5: "HLV VET",
    -4: "Q AST BOT CLT COST EDT FKT GYT HAE HNA PYT",
    -3.5: "HNT NST NT",
    -3: "P ADT ART BRT CLST FKST GFT HAA PMST PYST SRT UYT WGT",
    -2.5: "HAT NDT",
    -2: "O BRST FNT PMDT UYST WGST",
    -1: "N AZOT CVT EGT",
    0: "Z EGST GMT UTC WET WT",
    1: "A CET DFT WAT WEDT WEST",
    2: "B CAT CEDT CEST EET SAST WAST",
    3: "C EAT EEDT EEST IDT MSK",
    3.5: "IRST",
    4: "D AMT AZT GET GST KUYT MSD MUT RET SAMT SCT",
    4.5: "AFT IRDT",
    5: "E AMST AQTT AZST HMT MAWT MVT PKT TFT TJT TMT UZT YEKT",
    5.5: "SLT",
    5.75: "NPT",
    6: "F ALMT BIOT BTT IOT KGT NOVT OMST YEKST",
    6.5: "CCT MMT",
    7: "G CXT DAVT HOVT ICT KRAT NOVST OMSST THA WIB",
    8: "H ACT AWST BDT BNT CAST HKT IRKT KRAST MYT PHT SGT ULAT WITA WST",
    9: "I AWDT IRKST JST KST PWT TLT WDT WIT YAKT",
    9.5: "ACST",
    10: "K AEST PGT VLAT YAKST YAPT",
    10.5: "ACDT LHST",
    11: "L AEDT LHDT MAGT NCT PONT SBT VLAST VUT",
    11.5: "NFT",
    12: "M ANAST ANAT FJT GILT MAGST MHT NZST PETST PETT TVT WFT",
    13: "FJST NZDT",
}
_OFFSETS_S = {name: hours * 3600 for hours, names in _HOURS.items() for name in names.split()}
_zone = re.compile(r"([A-Z]{3,5}|[A-Z])?(?:([+-])([01][0-9])(?::?([0-9]{2}))?)?").fullmatch


def fixed_zone(text: str) -> datetime.timezone:
    """Return the zone of `Z`, `CEST`, `+0200`, `-05:00`, `UTC+02` (the sum of both); ValueError for other text."""
    match = _zone(text)
    if match is None or not text:
        raise ValueError("no time zone")
    name, sign, hours, minutes = match.groups()
    offset_s = _OFFSETS_S.get(name) if name else 0
    if offset_s is None:
        raise ValueError("unknown time zone")
    if sign:
        shift_s = int(hours) * 3600 + int(minutes or 0) * 60
        offset_s += -shift_s if sign == "-" else shift_s
    return datetime.timezone(datetime.timedelta(seconds=offset_s))


def wall_time(time_s: float, zone: datetime.tzinfo | None) -> datetime.datetime:
    """Return the local time in this zone (None: the system's); ValueError, OverflowError or OSError if out of range."""
    return datetime.datetime.fromtimestamp(time_s, zone).replace(tzinfo=None)


def epoch_s(wall: datetime.datetime, zone: datetime.tzinfo | None) -> float:
    """Return the time of a local time in this zone, in seconds since the epoch; the earlier one of a repeated hour.

    The system's zone (None) is read with mktime(3), which decides about repeated and skipped hours.
    """
    return _minute_s(wall.replace(second=0), zone) + wall.second


@functools.lru_cache(maxsize=1024)
def _minute_s(minute: datetime.datetime, zone: datetime.tzinfo | None) -> float:
    """Return the time at which a minute of local time starts: a log asks for the same one again and again."""
    return time.mktime(minute.timetuple()) if zone is None else minute.replace(tzinfo=zone).timestamp()
