"""What the corpus is made of: scenarios played in the lab, shared by the recorder and the live tests."""
