{% extends "staff.tpl" %}
{% from "macros.tpl" import button, lab_name, time %}
{% block title %}Grades that changed{% endblock %}
{% block content %}
<p>Grading a lab again judges only what changed since: another hand-in, other tests, another version of the grader or of a library. Scores and comments by hand stay.</p>
<ul class="plain">
{% for one in labs %}<li><a href="{{ base_url }}/formgrader/changes?lab={{ one }}"{% if one == lab %} aria-current="true"{% endif %}>{{ lab_name(one) }}</a> {{ button(base_url ~ "/formgrader/changes/" ~ one, "Grade again what changed", xsrf) }}</li>
{% endfor %}
</ul>
<h2>By the judge{% if lab %}, {{ lab_name(lab) }}{% endif %}</h2>
{% if regrades %}
<div class="wide" tabindex="0" role="region" aria-label="Changes by the judge">
<table>
<thead><tr><th scope="col">When</th><th scope="col">Student</th><th scope="col">Notebook</th><th scope="col">Cell</th><th scope="col">Before</th><th scope="col">After</th><th scope="col">What had changed</th><th scope="col">Asked by</th></tr></thead>
<tbody>
{% for one in regrades %}{% for change in one.changes %}
<tr><td>{{ time(one.when, zone) }}</td><th scope="row">{{ change.student }}</th><td>{{ change.notebook }}</td><td>{{ change.grade_id }}</td><td>{{ change.before }}</td><td>{{ change.after }}</td><td class="t">{{ change.why }}</td><td>{{ one.who }}</td></tr>
{% endfor %}{% endfor %}
</tbody>
</table>
</div>
{% else %}
<p>No grade changed after it was written first.</p>
{% endif %}
<h2>By hand</h2>
{% if by_hand %}
<div class="wide" tabindex="0" role="region" aria-label="Changes by hand">
<table>
<thead><tr><th scope="col">When</th><th scope="col">Student</th><th scope="col">Lab</th><th scope="col">What</th><th scope="col">By</th></tr></thead>
<tbody>
{% for one in by_hand %}
<tr><td>{{ time(one.when, zone) }}</td><th scope="row">{{ one.student }}</th><td class="t">{{ lab_name(one.lab) }}</td><td class="t">{{ one.what.removeprefix("by hand: ") }}</td><td>{{ one.who }}</td></tr>
{% endfor %}
</tbody>
</table>
</div>
{% else %}
<p>Nobody gave a score by hand.</p>
{% endif %}
{% endblock %}
