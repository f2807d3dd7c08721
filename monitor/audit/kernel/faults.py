"""What can keep the kernel from judging at all."""

from monitor.model.errors import NodewardenError


class JudgeError(NodewardenError):
    """Nothing can be judged; the text says why."""
