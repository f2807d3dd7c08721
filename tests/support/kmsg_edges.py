"""Kernel log lines and headers at the edges of the grammar, for comparisons of its decoders."""

import re
from collections.abc import Iterator

IP4 = "SRC=192.0.2.7 DST=198.51.100.2 LEN=60 TOS=0x00 PREC=0x00 TTL=63 ID=12345 DF "
IP6 = "SRC=2001:db8::7 DST=2001:db8::2 LEN=60 TC=0 HOPLIMIT=63 FLOWLBL=54321 "
TCP = "PROTO=TCP SPT=51234 DPT=22 WINDOW=64240 RES=0x00 SYN URGP=0 "
SYN = f"IN=eth0 OUT= MAC=02:42:ac:11:00:02 {IP4}{TCP}"
ICMP = "PROTO=ICMP TYPE=3 CODE=3 "


def messages() -> Iterator[str]:
    """Yield lines at the edges of the grammar."""
    for source in ("192.0.2.7", "2001:db8::7", "::ffff:192.0.2.7", "192.0.2.07", "1.2.3.4.5", "12345::", "1.2.3.999"):
        for destination in ("198.51.100.2", "2001:db8::2", "0000:0000:0000:0000:0000:0000:0000:0001"):
            for line in (SYN, SYN.replace(IP4, IP6), f"IN=eth0 OUT= {IP4}{ICMP}[{IP6}{TCP}] ", f"IN=e OUT= {IP6}{TCP}"):
                yield (
                    line.replace("192.0.2.7", source)
                    .replace("2001:db8::7", source)
                    .replace("198.51.100.2", destination)
                    .replace("2001:db8::2", destination)
                )
    for odd in ("", "\0", "\t", "\x1c", "\x7f", "\\xc3\\xa9", "é", "\udcff", " ", "9" * 40, "-1", "+1", "1_0", "٣"):
        for field in (
            "eth0",
            "02:42:ac:11:00:02",
            "192.0.2.7",
            "198.51.100.2",
            "60",
            "63",
            "12345",
            "51234",
            "22",
            "SYN ",
        ):
            yield SYN.replace(field, odd)
            yield SYN.replace(field, field + odd)
    for flags in (
        "AE CWR ECE URG ACK PSH RST SYN FIN ",
        "FIN SYN ",
        "SYN SYN ",
        "AE AE ",
        "XYZ ",
        "SY ",
        "URG URGP",
        "A ",
    ):
        yield SYN.replace("SYN ", flags)
        yield f"IN= OUT=x {IP4}{ICMP}[{IP4}{TCP.replace('SYN ', flags)}] MTU=9 "
    for rest in (
        *(
            "TCP ",
            "UDP ",
            "ICMP ",
            "255 ",
            "256 ",
            "0 ",
            "007 ",
            "0255 ",
            "GRE ",
            "TCP INCOMPLETE [8 bytes] ",
            "ESP SPI=0x1 ",
        ),
        *(
            "UDP SPT=1 DPT=2 LEN=8 UID=0 GID=0 MARK=0xffffffff ",
            "UDP SPT=65536 DPT=2 LEN=8 ",
            "UDP SPT=1 DPT=2 LEN=8 x ",
        ),
        *(
            "ICMP TYPE=256 CODE=0 ",
            "ICMP TYPE=8 CODE=0 ID=1 SEQ=2 MARK=0x1 ",
            "ICMP TYPE=5 CODE=1 GATEWAY=10.0.0.1 [] ",
        ),
        *(
            "ICMP TYPE=3 CODE=4 [] MTU=1 [] ",
            "ICMP TYPE=3 CODE=4 [x] ] MTU=1 ",
            "ICMP TYPE=3 CODE=4 [TRUNCATED] ",
            "ICMP [] ",
        ),
        *("ICMP TYPE=3 CODE=4 INCOMPLETE [8 bytes] PARAMETER=1 ", "ICMP TYPE=3 CODE=0 POINTER=00000001 ", "AH ] "),
        *(
            f"ICMP TYPE=3 CODE=1 [{IP4}PROTO={name}] "
            for name in ("TCP", "7 x", "07", "0007", "300", "+5", "", " 5", "1_0")
        ),
        *(f"ICMP TYPE=3 CODE=1 [{IP4}PROTO=UDP SPT={port} DPT=1 LEN=8 ] " for port in (0, 65535, 65536, "")),
    ):
        yield f"IN=eth0 OUT= {IP4}PROTO={rest}"
        yield f"IN=eth0 OUT= {IP6}PROTO={rest}".rstrip(" ")
    yield from ("IN=" * count + f" OUT= {SYN}" for count in range(1, 7))
    yield from (SYN[:length] for length in range(len(SYN)))
    yield from (IP6[:length] for length in range(len(IP6)))
    yield from (f"IN=a OUT=b {IP6[:length]}" for length in range(len(IP6)))
    for size in (8192, 16384, 70_000):
        yield "x" * size + SYN
        yield SYN.replace("eth0", "e" * size)
        yield f"IN=eth0 OUT= {IP6}" + "OPT ( ) " * (size // 8) + TCP


_WRAPPED = (
    f"""
    p IN=eth0 OUT=x PHYSIN=a PHYSOUT=b MACSRC=02:42:ac:11:00:03 MACDST=01:42:ac:11:00:02 VPROTO=8100 VID=7
    MACPROTO=0800 {IP4.replace("DF ", "CE DF")} MF FRAG:64 OPT (0A) PROTO=TCP SPT=1 DPT=2 SEQ=4 ACK=0 WINDOW=0 RES=0x0a
    URG PSH FIN URGP=9 OPT (020405B4) UID=1000 GID=1000 MARK=0x1
    """,
    """
    IN=eth0 OUT= MAC=01:02 TUNNEL=1.2.3.4->5.6.7.8 SRC=12:34::5 DST=1::2:34 LEN=60 TC=1 HOPLIMIT=2 FLOWLBL=3 OPT ( )
    FRAG:8 INCOMPLETE ID:0000000a AH SPI=0xa PROTO=UDPLITE SPT=1 DPT=2 LEN=3 UID=4 GID=5 MARK=0xa
    """,
    f"""
    IN=eth0 OUT= {IP4}PROTO=ICMP TYPE=5 CODE=1 INCOMPLETE [8 bytes] ID=1 SEQ=2 PARAMETER=3 GATEWAY=10.0.0.1
    [{IP6}PROTO=UDP SPT=1 DPT=2 LEN=3 ] MTU=4 SPI=0xa UID=6 GID=7 MARK=0x8
    """,
    f"""
    IN=eth0 OUT= {IP4}PROTO=ICMPv6 TYPE=5 CODE=1 POINTER=0000000a [{IP4}{TCP}]
    """,
)
ALL_FIELDS = tuple(line.replace("\n    ", " ").strip() + " " for line in _WRAPPED)
"""Packet lines that together have every field that the kernel can write."""


def fields_of_any_length() -> Iterator[str]:
    """Yield lines in which one field has another value, another length, stands twice or is missing."""
    for line in ALL_FIELDS:
        for found in re.finditer(r"(?<=[=:([ ])[0-9A-Za-z.:]+", line):
            for value in (
                "",
                "0",
                "f",
                "F",
                "g",
                ".",
                "x y",
                "a\vb",
                "a\fb",
                "a\tb",
                *("9" * size for size in range(2, 13)),
            ):
                yield line[: found.start()] + value + line[found.end() :]
        for found in re.finditer(r"\S+ ", line):
            yield line[: found.start()] + line[found.end() :]
            yield line[: found.end()] + found[0] + line[found.end() :]
        for length in range(41):
            for text in ("1:" * 20, "1234:" * 8, "1.2.3.4", "::1.2.3.4"):
                yield line.replace("192.0.2.7", text[:length]).replace("1::2:34", text[:length])


HEADERS = (
    *(
        "4,1,2,-",
        "4,1,2,-,caller=T1",
        "004,01,02,-",
        " 4,1,2,-",
        "+4,1,2,-",
        "-4,1,2,-",
        "1_2,1,2,-",
        "12,1,2,-",
        "4,1,2",
    ),
    *(
        "",
        "4",
        "4,,2,-",
        "4,1,,-",
        "9" * 18 + ",1,2,-",
        "9" * 19 + ",1,2,-",
        "4," + "9" * 40 + ",2,-",
        "4,1,2," + "c" * 200,
    ),
    *(f"4,{number},{number},-" for size in range(17, 22) for number in ("9" * size, "1" + "0" * (size - 1))),
    *("4,1,2," + "c" * length for length in range(90, 100)),
    *("4,1," + "9" * 18 + ",-", "4,1," + "9" * 22 + ",-", "4,1,2,", "4,1.0,2,-", "4,1,2,-,é"),
)
