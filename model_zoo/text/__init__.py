"""Text before and after a network: vocabularies, WordPiece, windows over long texts, answers; travels with a preset."""

from model_zoo.text.answers import Answer
from model_zoo.text.questions import QuestionPreprocessor, QuestionSettings
from model_zoo.text.sentences import SentencePreprocessor, SentenceSettings
from model_zoo.text.storage import load_preprocessor, save_preprocessor
from model_zoo.text.trim import Trimmed, trim_vocabulary
from model_zoo.text.vocabulary import (
    Vocabulary,
    check_vocabulary,
    read_vocabulary,
    write_vocabulary,
)
from model_zoo.text.windows import Window, stack
from model_zoo.text.wordpiece import Tokens, tokenize

__all__ = [
    "Answer",
    "QuestionPreprocessor",
    "QuestionSettings",
    "SentencePreprocessor",
    "SentenceSettings",
    "Tokens",
    "Trimmed",
    "Vocabulary",
    "Window",
    "check_vocabulary",
    "load_preprocessor",
    "read_vocabulary",
    "save_preprocessor",
    "stack",
    "tokenize",
    "trim_vocabulary",
    "write_vocabulary",
]
