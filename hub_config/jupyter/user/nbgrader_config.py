"""nbgrader in a user's server: fetch labs, validate, hand in, fetch feedback. It needs no token of the Hub's."""

import os

c = get_config()  # noqa: F821 (traitlets provides it)
c.CourseDirectory.course_id = "model-compression"
c.CourseDirectory.student_id = os.environ["JUPYTERHUB_USER"]
c.Exchange.root = os.environ["COURSE_EXCHANGE"]
