"""The stages of the line as Beam pipelines, from one committed dataset to the next. The only room that knows Beam."""
