"""nbgrader in a user's server: fetch labs, validate, hand in, fetch feedback, all through the hand-in service."""

import os

c = get_config()  # noqa: F821 (traitlets provides it)
c.CourseDirectory.course_id = "model-compression"
c.CourseDirectory.student_id = os.environ["JUPYTERHUB_USER"]
c.Exchange.root = os.environ["COURSE_EXCHANGE"]
c.ExchangeFactory.exchange = "handin.exchange.base.ServiceExchange"
c.ExchangeFactory.list = "handin.exchange.student.List"
c.ExchangeFactory.fetch_assignment = "handin.exchange.student.FetchAssignment"
c.ExchangeFactory.submit = "handin.exchange.student.Submit"
c.ExchangeFactory.fetch_feedback = "handin.exchange.student.FetchFeedback"
