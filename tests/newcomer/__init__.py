"""A newcomer's first hours: a machine on which the documents are followed, command by command."""
