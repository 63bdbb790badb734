{% extends "staff.tpl" %}
{% from "macros.tpl" import lab_name %}
{% block title %}Requests to look at a grade again{% endblock %}
{% macro about(one) %}{{ one.student }}, {{ lab_name(one.lab) }}, attempt {{ one.number }}{% endmacro %}
{% block content %}
{% for one in waiting %}
<section aria-labelledby="request-{{ one.id }}">
<h2 id="request-{{ one.id }}">{{ about(one) }}</h2>
<blockquote>{{ one.text }}</blockquote>
<p><a href="{{ base_url }}/formgrader/manage_students/{{ one.student }}/{{ one.lab }}">The graded notebooks</a> · <a href="{{ base_url }}/formgrader/journal?student={{ one.student | urlencode }}&amp;lab={{ one.lab | urlencode }}">What was done so far</a></p>
<form method="post" action="{{ base_url }}/formgrader/requests/{{ one.id }}">{{ xsrf | safe }}
<p><label for="answer-{{ one.id }}">Your answer, which {{ one.student }} sees</label><br>
<textarea id="answer-{{ one.id }}" name="answer" rows="4" maxlength="2000" required></textarea></p>
<button>Answer</button></form>
</section>
{% else %}
<p>None waits for an answer.</p>
{% endfor %}
{% if answered %}
<h2>Answered</h2>
{% for one in answered %}
<h3>{{ about(one) }}</h3>
<blockquote>{{ one.text }}</blockquote>
<blockquote class="answer">{{ one.answer }}</blockquote>
{% endfor %}
{% endif %}
{% endblock %}
