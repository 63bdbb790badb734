{% extends "staff.tpl" %}
{% from "macros.tpl" import lab_name %}
{% from "side_by_side.html.j2" import side_by_side %}
{% block title %}{{ first }} and {{ second }}{% endblock %}
{% block content %}
<p>{{ lab_name(lab) }}, {{ notebook }}: the code that each wrote. What is marked differs. <a href="{{ base_url }}/formgrader/similar">All pairs</a></p>
{{ side_by_side(pair, first, second, most) }}
{% endblock %}
