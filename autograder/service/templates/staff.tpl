{%- from "macros.tpl" import staff_pages -%}
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{% block title %}{% endblock %}</title>
<link rel="stylesheet" href="{{ base_url }}/formgrader/course/class.css">
</head>
<body>
<a class="skip" href="#content">To the content</a>
<header><nav aria-label="Course">
{% for address, name in [("manage_assignments", "Labs"), ("gradebook", "Manual grading")] + staff_pages -%}
<a href="{{ base_url }}/formgrader/{{ address }}"{% if address == here %} aria-current="page"{% endif %}>{{ name }}</a>
{% endfor %}
</nav></header>
<main id="content">
<h1>{{ self.title() }}</h1>
{% block content %}{% endblock %}
</main>
</body>
</html>
