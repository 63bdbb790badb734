{% extends "staff.tpl" %}
{% from "macros.tpl" import button %}
{% block title %}People{% endblock %}
{% block content %}
<p>Everybody of the gradebook. Who has left counts in no statistics and is in no export; nothing of theirs is deleted.
{%- if not instructor %} An instructor changes sections.{% endif %}</p>
{% if members %}
<div class="wide" tabindex="0" role="region" aria-label="Students">
<table>
<thead><tr><th scope="col">Student</th><th scope="col">Name</th><th scope="col">Section</th><th scope="col" class="n">Collected</th><th scope="col" class="n">Graded</th><th scope="col" class="n">Late</th><th scope="col" class="n">Extensions</th><th scope="col" class="n">Points</th>{% if instructor %}<th scope="col">Class</th>{% endif %}</tr></thead>
<tbody>
{% for one in members %}
<tr{% if one.left %} class="left"{% endif %}>
<th scope="row"><a href="{{ base_url }}/formgrader/manage_students/{{ one.id }}">{{ one.id }}</a>{% if one.left %}<span class="note">left {{ one.left.strftime("%d %b %Y") }}</span>{% endif %}</th>
<td>{{ one.name }}</td>
<td>{% if instructor %}<form method="post" action="{{ base_url }}/formgrader/people/{{ one.id }}">{{ xsrf | safe }}<input type="hidden" name="change" value="section"><input name="section" value="{{ one.section }}" size="8" maxlength="100" aria-label="Section of {{ one.id }}"> <button aria-label="Save the section of {{ one.id }}">Save</button></form>{% else %}{{ one.section }}{% endif %}</td>
<td class="n">{{ one.collected }}</td>
<td class="n">{{ one.graded }}</td>
<td class="n">{{ one.late }}</td>
<td class="n">{{ one.extensions }}</td>
<td class="n">{{ "%g" | format(one.counts | round(2)) }}</td>
{% if instructor %}<td>{% if one.left %}{{ button(base_url ~ "/formgrader/people/" ~ one.id, "Is back", xsrf, {"change": "return"}) }}{% else %}{{ button(base_url ~ "/formgrader/people/" ~ one.id, "Has left", xsrf, {"change": "leave"}) }}{% endif %}</td>{% endif %}
</tr>
{% endfor %}
</tbody>
</table>
</div>
{% else %}
<p>Nobody yet. <code>course roster import FILE</code> takes in a list; whoever hands in is added when their work is graded.</p>
{% endif %}
{% endblock %}
