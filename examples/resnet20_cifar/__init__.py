"""ResNet-20 for CIFAR-10 at half its work in an int8 file: docs/case-study.md."""
