{% extends "staff.tpl" %}
{% block title %}That did not work{% endblock %}
{% block content %}
<p class="bad said">{{ problem }}</p>
{% endblock %}
