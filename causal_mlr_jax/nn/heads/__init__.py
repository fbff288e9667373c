"""Parts that the heads of two or more methods share.

Classifiers with a weight a label, the label decoder, graphs over labels, and
the loss and scores of heads that give one array of logits. Methods import all
of it; a part that one method alone uses stays in that method's file.
"""
