"""The Sutro cube: three axes along which the training of AI models is made cheaper in energy.

Importing this package loads neither torch nor pandas; its modules load what they need.
The parts, from the bottom up: ``cube`` and ``nouns``; ``problems``, ``models`` and ``meters``;
``measure``, ``ledger``, ``verdict`` and ``figures``; ``processes``; ``guards``; ``notebook`` and ``batch``.
"""

__version__ = "0.1.0"
