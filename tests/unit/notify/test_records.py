"""Records of syslog, RFC 5424 and CEF: any text stays in its field, and no record is too long or two."""

import re

import pytest

from monitor.notify.channels.syslog import records
from monitor.notify.message import Urgency
from monitor.notify.sections.syslog import Facility, LogFormat, SyslogSettings, Transport
from tests.support.messages import HOSTILE, NOW_S, hostile, item, message

_HEADER = r"<(\d{1,3})>1 (\S+) (\S+) nodewarden \d+ (\S+) "
_PARAMETERS = r'\[nodewarden@32473((?: [a-z]+="(?:[^"\\\]]|\\["\\\]])*")*)\]'
_CEF = re.compile(r"CEF:0\|nodewarden\|nodewarden\|[^|]+\|((?:[^|\\]|\\.)*)\|((?:[^|\\]|\\.)*)\|(\d+)\|(.*)", re.DOTALL)


def test_a_ban_is_a_line_with_structured_data() -> None:
    """The priority follows from facility and urgency; fields are there for machines, the text for people."""
    (record,) = records(message(urgency=Urgency.WARNING), SyslogSettings(facility=Facility.LOCAL3))
    found = re.fullmatch((_HEADER + _PARAMETERS + " \ufeff(.*)").encode(), record)
    assert found
    assert found[1] == b"156"
    assert (found[2], found[3], found[4]) == (b"2026-09-21T14:13:20Z", b"node1", b"ban")
    assert b' network="192.0.2.7" detector="sshd" set="ban" evidence="proven"' in found[5]
    assert re.fullmatch(rb"banned 192\.0\.2\.7 for 1 h \(until 2026-[0-9T:-]+Z, proven evidence\)", found[6])


def test_a_ban_is_an_event_of_cef() -> None:
    """Keys are those of the dictionary; IPv6 has one of its own, and networks are custom strings."""
    (record,) = records(message(), SyslogSettings(format=LogFormat.CEF))
    found = _CEF.search(record.decode())
    assert found
    assert found.groups()[:3] == ("ban sshd", "banned 192.0.2.7 for 1 h", "4")
    fields = dict(re.findall(r"(\w+)=((?:[^=\\]|\\.)*?)(?= \w+=|$)", found[4]))
    assert fields["src"] == "192.0.2.7"
    assert (fields["cs2Label"], fields["cs2"]) == ("detector", "sshd")
    assert fields["rt"] == str(int(NOW_S * 1000))
    six = next(records(message(item(network="2001:db8::1")), SyslogSettings(format=LogFormat.CEF))).decode()
    assert " c6a2=2001:db8::1 c6a2Label=Source IPv6 Address " in six
    assert " src=" not in six


@pytest.mark.parametrize("form", LogFormat)
@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts_stay_in_their_field(text: str, form: LogFormat) -> None:
    """No text ends a field or a record, or makes one longer than the transport takes."""
    for transport, longest in ((Transport.UDP, 2048), (Transport.TLS, 8192)):
        for record in records(hostile(text), SyslogSettings(format=form, transport=transport)):
            assert len(record) <= longest
            assert not re.search(rb"[\x00-\x1f\x7f]", record)
            line = record.decode()
            if form is LogFormat.CEF:
                found = _CEF.search(line)
                assert found
                keys = re.findall(r"(?:^| )(\w+)(?<!\\)=", found[4])
                assert len(keys) == len(set(keys)), "a value added a key"
            elif len(record) < longest:
                assert re.fullmatch(_HEADER + _PARAMETERS + " \ufeff.*", line)


@pytest.mark.parametrize("form", LogFormat)
def test_a_digest_is_a_record_for_each_event_and_one_for_the_others(form: LogFormat) -> None:
    """What is only counted is not silently left out."""
    digest = message(item("one"), item("two"), count=40, unseen=5)
    found = [record.decode() for record in records(digest, SyslogSettings(format=form))]
    assert len(found) == 3
    assert "38 more" in found[2]
    assert "5 more of which nothing else is known" in found[2]


def test_a_host_without_a_usable_name_is_a_dash() -> None:
    """And times that no calendar has, too."""
    (record,) = records(message(item(time_s=float("inf")), host="ü ö"), SyslogSettings())
    assert record.startswith(b"<30>1 - - nodewarden ")
