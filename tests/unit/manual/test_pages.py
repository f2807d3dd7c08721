"""The manual pages: complete, and such that groff has nothing to say about them."""

import os
import re
import subprocess
from pathlib import Path

import click
import pytest

from manual.__main__ import main
from manual.pages import PAGES, commands, nodewarden_8, nodewarden_filter_5, nodewarden_yaml_5
from manual.roff import Page
from monitor.cli.main import cli
from monitor.config.shapes import Group, NamedMap, group_of
from monitor.settings.schema import Settings
from tests.support.needs import needs


def rendered(page: Path) -> str:
    """Return a page as a reader sees it, in one line; every warning of groff is a failure."""
    command = ["man", "--warnings=w", "-E", "UTF-8", "--local-file", str(page)]
    environment = os.environ | {"MANWIDTH": "2000", "LC_ALL": "C.UTF-8", "MANROFFOPT": "-c", "MAN_KEEP_FORMATTING": ""}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stderr) == (0, "")
    return re.sub(r"\s+", " ", done.stdout)


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return the text of all pages, by name."""
    needs("man", "groff")
    directory = tmp_path_factory.mktemp("man")
    main(directory)
    return {name: rendered(directory / name) for name in PAGES}


def test_every_command_and_option_is_there(pages: dict[str, str]) -> None:
    """nodewarden(8) names every command as one types it, and every option of each."""
    found = list(commands(cli, ("nodewarden",)))
    assert len(found) >= 15
    for words, command in found:
        assert " ".join(words[1:]) in pages["nodewarden.8"]
        for param in command.params:
            if isinstance(param, click.Option):
                assert param.opts[0] in pages["nodewarden.8"]


def test_every_key_is_there(pages: dict[str, str]) -> None:
    """nodewarden.yaml(5) names every section by its path, and every key."""

    def walk(group: Group, path: str) -> None:
        for key, field in group.fields.items():
            assert key in pages["nodewarden.yaml.5"]
            inner = field.shape.value if isinstance(field.shape, NamedMap) else field.shape
            if isinstance(inner, Group):
                name = f"{path}{key}" + (".NAME" if isinstance(field.shape, NamedMap) else "")
                if not all(isinstance(one.shape, Group) for one in inner.fields.values()):
                    assert name in pages["nodewarden.yaml.5"]
                walk(inner, f"{name}.")

    walk(group_of(Settings), "")


def test_nothing_of_markdown_is_left(pages: dict[str, str]) -> None:
    """A reader of the pages sees no Markdown, no HTML comment and no roff."""
    for text in pages.values():
        assert not re.search(r"`[a-z]|\*\*|<!--|\\f[BIR]|^\.", text, re.MULTILINE)


@pytest.mark.parametrize("page", [nodewarden_8, nodewarden_yaml_5, nodewarden_filter_5])
def test_headings(page: object) -> None:
    """A page has the sections that man-pages(7) asks for, in its order."""
    assert callable(page)
    found = re.findall(r'^\.SH "(.*)"$', str(page()), re.MULTILINE)
    order = ["NAME", "SYNOPSIS", "DESCRIPTION", "SEE ALSO"]
    assert [heading for heading in found if heading in order] == order


@pytest.mark.parametrize("text", [".TH x", "'br", r"back\slash", "-dash", "`.code`", "a\n.PP\n'so /etc/passwd"])
def test_text_is_never_a_request(text: str, tmp_path: Path) -> None:
    """What looks like roff in a description is printed as it is."""
    needs("man", "groff")
    page = Page("x", 8, "0", "y")
    page.paragraph(text)
    page.example(text)
    (tmp_path / "x.8").write_text(str(page))
    shown = re.sub(r"\s+", " ", text.replace("`", ""))
    assert rendered(tmp_path / "x.8").count(shown) == 2
