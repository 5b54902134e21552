"""The demonstration on the public Complete Journey retail data set."""
