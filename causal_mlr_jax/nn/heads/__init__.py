"""Parts that the heads of two or more methods share.

Classifiers with one weight vector per label, the label decoder, graphs over
labels, and the loss and scores of heads that return one array of logits. A part
that only one method uses stays in that method's file.
"""
