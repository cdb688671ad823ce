"""Ways of distilling that take several trainings: mutual learning, born-again generations, teacher assistants."""

from edgekit.compress.distill.born_again import BornAgain
from edgekit.compress.distill.mutual_learning import MutualLearning
from edgekit.compress.distill.teacher_assistant import TeacherAssistant

__all__ = ["BornAgain", "MutualLearning", "TeacherAssistant"]
