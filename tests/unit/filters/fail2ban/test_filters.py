"""Filters: includes, interpolation and tags give what fail2ban would hand to its server."""

from pathlib import Path

import pytest

from monitor.filters.definition import FilterError
from monitor.filters.fail2ban.filters import read_filter
from tests.unit.filters.fail2ban.support import filter_of, filter_with, write

MINIMAL = "[Definition]\nfailregex = ^x <HOST>$\n"


def test_everything_a_filter_is_made_of(tmp_path: Path) -> None:
    """Each option lands in its field, several lines are several expressions, built-in tags stay."""
    found = filter_of(
        tmp_path,
        """
[Definition]
prefregex = ^<F-CONTENT>.+</F-CONTENT>$
failregex = ^one <HOST>$
            ^two <F-USER>\\S+</F-USER><SKIPLINES>from <ADDR>
ignoreregex =
            ^not
maxlines = 3
datepattern = {^LN-BEG}%%Y-%%m
journalmatch = _SYSTEMD_UNIT=a.service + _COMM=a
               "MESSAGE=b c"
""",
    )
    assert found.failregex == ("^one <HOST>$", "^two <F-USER>\\S+</F-USER><SKIPLINES>from <ADDR>")
    assert found.ignoreregex == ("^not",)
    assert found.prefregex == "^<F-CONTENT>.+</F-CONTENT>$"
    assert found.maxlines == 3
    assert found.datepattern == "{^LN-BEG}%Y-%m"
    assert found.journalmatch == (("_SYSTEMD_UNIT=a.service", "+", "_COMM=a"), ("MESSAGE=b c",))
    assert found.name == "demo"
    assert found.origin == str(tmp_path / "filter.d/demo.conf")
    assert found.notes == ()


def test_includes_come_before_and_after_with_their_local_files(tmp_path: Path) -> None:
    """The order is: before, before's .local, the file, after, the drop-ins, the filter's .local; later ones win."""
    found = filter_with(
        tmp_path,
        "[INCLUDES]\nbefore = common.conf\n  missing.conf\nafter = last.conf\n"
        "[DEFAULT]\nb=conf\nc=conf\nd=conf\ne=conf\n[Definition]\nfailregex = %(a)s %(b)s %(c)s %(d)s %(e)s\n",
        {
            "common.conf": "[DEFAULT]\na=common\nb=common\nf=common",
            "common.local": "[DEFAULT]\na=common.local\nb=common.local",
            "last.conf": "[DEFAULT]\nc=last\nd=last",
            "demo.d/x.conf": "[DEFAULT]\nd=drop-in\ne=drop-in",
            "demo.local": "[DEFAULT]\ne=local\n[Definition]\nfailregex = %(known/failregex)s %(f)s",
        },
    )
    assert found.failregex == ("common.local conf last drop-in local common",)


def test_include_loops_are_cut(tmp_path: Path) -> None:
    """Files that include each other, also by other spellings of their paths, are each read once."""
    found = filter_of(
        tmp_path,
        "[INCLUDES]\nbefore = ../filter.d/b.conf\n   demo.conf\n" + MINIMAL,
        b_conf="[INCLUDES]\nbefore = ../filter.d/../filter.d/demo.conf\nafter = b.conf",
    )
    assert found.failregex == ("^x <HOST>$",)


def test_interpolation_knows_every_notation(tmp_path: Path) -> None:
    """Sections, defaults, known values, the section's own name, escapes, and references inside of references."""
    found = filter_of(
        tmp_path,
        """
[DEFAULT]
base = D
[other]
x = %(base)s-other
[Definition]
base = O
x = 100%%
failregex = %(x)s %(other/x)s %(default/base)s %(known/base)s %(other/base)s %(__name__)s %(BASE)s
""",
        demo_local="[Definition]\nbase = L",
    )
    assert found.failregex == ("100% L-other D O D Definition L",)


def test_tags_are_replaced_nested_and_by_section(tmp_path: Path) -> None:
    """`<x>`, `<a-<b>>`, `<section/x>` and sections chosen by a tag are replaced; what nothing defines stays."""
    text = """
[DEFAULT]
lt = file
prefix = <lt_<lt>/prefix>
[lt_file]
prefix = F<word>
[lt_journal]
prefix = J
[Definition]
word = w
mode = a
re-a = ^A <HOST>
re-b = ^B <HOST>
failregex = <re-<mode>> <prefix> <default/lt> <NOT-KNOWN> <known/word>
"""
    assert filter_of(tmp_path, text).failregex == ("^A <HOST> Fw file <NOT-KNOWN> w",)
    assert filter_of(tmp_path, text, {"mode": "b", "lt": "journal"}).failregex == ("^B <HOST> J file <NOT-KNOWN> w",)


def test_parameters_win_over_definition_and_init(tmp_path: Path) -> None:
    """A parameter replaces an option, [Init] gives the default of one, `<known/x>` is the default."""
    text = "[Definition]\nfailregex = <who> <known/who> %(what)s\nwhat = one\n[Init]\nwho = init\nmaxlines = 2\n"
    plain = filter_of(tmp_path, text)
    assert (plain.failregex, plain.maxlines) == (("init init one",), 2)
    given = filter_of(tmp_path, text, {"who": "param", "what": "two", "maxlines": "4"})
    assert (given.failregex, given.maxlines) == (("param init two",), 4)
    assert filter_of(tmp_path, text, {"failregex": "^<what>"}).failregex == ("^one",)


def test_logtype_follows_the_log_unless_it_is_said(tmp_path: Path) -> None:
    """The default of an included file gives way to the kind of log; the filter's own word and a parameter do not."""
    text = "[DEFAULT]\nlogtype = short\n[Definition]\nfailregex = ^<logtype>\n"
    directory = write(tmp_path, {"filter.d/a.conf": text, "filter.d/b.conf": text + "logtype = mine\n"})
    assert read_filter(directory, "a").failregex == ("^file",)
    assert read_filter(directory, "a", logtype="journal").failregex == ("^journal",)
    assert read_filter(directory, "a", {"logtype": "rfc5424"}, logtype="journal").failregex == ("^rfc5424",)
    assert read_filter(directory, "b", logtype="journal").failregex == ("^mine",)


def test_conditional_sections_are_passed_over(tmp_path: Path) -> None:
    """`[Init?family=inet6]` is read and changes nothing; the tag that it is about stays."""
    found = filter_of(tmp_path, "[Definition]\nfailregex = <a> <b>\n[Init]\na = 4\nb = 1\n[Init?family=inet6]\na = 6\n")
    assert found.failregex == ("<a> 1",)


def test_a_mode_that_nothing_defines_is_noted(tmp_path: Path) -> None:
    """A typo in the mode leaves a tag where an expression should be, and a note that says so."""
    found = filter_of(tmp_path, MINIMAL + "  <re-<mode>>\n", {"mode": "agressive"})
    assert found.failregex == ("^x <HOST>$", "<re-agressive>")
    assert found.notes == ("<re-agressive> is not defined: check the mode",)


def test_imported_filters_prove_nothing(tmp_path: Path) -> None:
    """No filter of fail2ban proves anything; those of services that answer UDP say that as the reason."""
    names = {"named-refused": True, "counter-strike": True, "my-openvpn": True, "sshd": False, "unnamed": False}
    for name, expected in names.items():
        found = read_filter(write(tmp_path, {f"filter.d/{name}.conf": MINIMAL}), name)
        assert (found.evidence.writers, found.evidence.is_vouched) == (None, False)
        assert ("UDP" in found.evidence.doubt) is expected, name


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[Definition]\n", "demo.conf: has no failregex"),
        ("", "demo.conf: has no failregex"),
        ("[Definition]\nfailregex\n", "demo.conf:2: "),
        ("[Definition]\n\nfailregex = %(gone)s", "demo.conf:3: .*no option 'gone'"),
        ("[Definition]\nfailregex = 100%", "demo.conf:2: .*lone %"),
        ("[Definition]\nfailregex = %(gone/x)s", "demo.conf:2: .*no option 'gone/x'"),
        ("[Definition]\nfailregex = %(a)s\na = %(b)s\nb = %(a)s", "demo.conf:2: .*cycle"),
        ("[Definition]\nfailregex = <failregex>", "demo.conf: the tag <failregex> .*cycle"),
        ("[Definition]\nfailregex = <a>\na = <b>\nb = <a>", "demo.conf: .*cycle"),
        ("[Definition]\nfailregex = <a>\na = x<a>", "demo.conf: .*(cycle|too deeply)"),
        (MINIMAL + "journalmatch = 'open", "demo.conf: journalmatch"),
    ],
)
def test_faults_say_where_and_why(tmp_path: Path, text: str, reason: str) -> None:
    """What cannot be used raises FilterError, with the file and, where it is known, the line."""
    with pytest.raises(FilterError, match=reason):
        filter_of(tmp_path, text)


def test_a_fault_in_an_included_file_names_that_file(tmp_path: Path) -> None:
    """The place of a fault is where the option stands, not where the reading began."""
    with pytest.raises(FilterError, match=r"common\.conf:3: "):
        filter_of(tmp_path, "[INCLUDES]\nbefore = common.conf\n" + MINIMAL, common_conf="[DEFAULT]\na = 1\nbroken\n")


@pytest.mark.parametrize("name", ["gone", "", "..", "a\0b", "x" * 300, "/"])
def test_filters_that_are_not_there(tmp_path: Path, name: str) -> None:
    """A name without a file, or that can be no file's, is a FilterError."""
    with pytest.raises(FilterError):
        read_filter(tmp_path, name)


def test_values_that_multiply_are_refused(tmp_path: Path) -> None:
    """Definitions that double each other come to an end, by %(x)s as by <x>, and also where the result is empty."""
    for leaf in ("ha", ""):
        by_name = [f"a{n} = " + f"%(a{n + 1})s" * 60 for n in range(8)] + [f"a8 = {leaf}"]
        by_tag = [f"a{n} = " + f"<a{n + 1}>" * 60 for n in range(12)] + [f"a12 = {leaf}"]
        with pytest.raises(FilterError, match=r"65536|too long"):
            filter_of(tmp_path, "[Definition]\nfailregex = %(a0)s\n" + "\n".join(by_name))
        if leaf:
            with pytest.raises(FilterError, match=r"65536|too long"):
                filter_of(tmp_path, "[Definition]\nfailregex = <a0>\n" + "\n".join(by_tag))


def test_many_options_take_bounded_work(tmp_path: Path) -> None:
    """A file full of tags that look each other up is given up instead of being worked on for minutes."""
    init = "\n".join(f"o{n} = <x{n}>" for n in range(8_000))
    own = "\n".join(f"x{n} = 1" for n in range(8_000))
    parameters = {f"p{n}": "" for n in range(8_000)}
    with pytest.raises(FilterError, match="takes too long"):
        filter_of(tmp_path, f"{MINIMAL}{own}\n[Init]\n{init}\n", parameters)


def test_many_includes_are_refused(tmp_path: Path) -> None:
    """A few files that include each other twice, each at its own depth, are not read a million times."""
    others = {
        f"f{n}.conf": f"[INCLUDES]\nbefore = f{n + 1}.conf\n  f{n + 1}.conf\nafter = f{n + 1}.conf" for n in range(15)
    }
    with pytest.raises(FilterError, match="too many files"):
        filter_with(tmp_path, "[INCLUDES]\nbefore = f0.conf\n" + MINIMAL, {**others, "f15.conf": ""})
