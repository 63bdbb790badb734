{% set staff_pages = [("class", "Class"), ("people", "People"), ("requests", "Requests"), ("changes", "Changes"), ("similar", "Alike"), ("journal", "Journal"), ("queue", "Queue")] %}
{% macro lab_name(id) %}{{ id.replace("_", " ") }}{% endmacro %}
{% macro time(moment, zone) %}<time datetime="{{ moment.isoformat() }}">{{ moment.astimezone(zone).strftime("%d %b %Y, %H:%M") }}</time>{% endmacro %}
{% macro button(address, label, xsrf, fields={}) %}
<form method="post" action="{{ address }}">{{ xsrf | safe }}{% for name, value in fields.items() %}<input type="hidden" name="{{ name }}" value="{{ value }}">{% endfor %}<button>{{ label }}</button></form>
{%- endmacro %}
