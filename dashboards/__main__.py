"""`make dashboards`: writes the JSON of every dashboard into `dashboards/json`, and the rules for what they sum up."""

from pathlib import Path

from dashboards.aggregates import rules_text
from dashboards.boards import BOARDS, text_of

JSON = Path(__file__).with_name("json")
RULES = Path(__file__).with_name("rules") / "aggregates.yaml"


def main() -> None:
    """Write every file again and remove files of dashboards that no longer exist."""
    RULES.write_text(rules_text())
    JSON.mkdir(exist_ok=True)
    for path in JSON.glob("*.json"):
        if path.stem not in BOARDS:
            path.unlink()
    for name, made in BOARDS.items():
        (JSON / f"{name}.json").write_text(text_of(made))
        print(f"dashboards/json/{name}.json: {len(made.panels or ())} panels")


if __name__ == "__main__":
    main()
