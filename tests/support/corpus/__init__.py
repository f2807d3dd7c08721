"""The scenarios of the corpus, played in the lab; shared by the recorder and the live tests."""
