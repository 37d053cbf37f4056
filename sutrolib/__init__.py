"""The Sutro cube: three axes along which the training of AI models is made cheaper in energy.

Importing this package loads neither torch nor pandas; its modules load what they need.
The parts, from the bottom up: ``core``; ``problems``, ``models`` and ``meters``; ``measurement``; ``processes``;
``guards``; ``exam`` and ``walk``; ``plots``, ``notebook``, ``batch``, ``meeting`` and ``cli``.
"""

__version__ = "0.1.0"
