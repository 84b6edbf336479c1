"""The pages of an atlas: what they show, their front end, and their static form."""
