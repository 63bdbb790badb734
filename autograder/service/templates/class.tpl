{% extends "staff.tpl" %}
{% from "macros.tpl" import lab_name, time %}
{% block title %}The class{% endblock %}
{% block content %}
<p>{{ found.students }} student{{ "" if found.students == 1 else "s" }}{% if found.section %} in the section {{ found.section }}{% endif %}{% if found.left %}; {{ found.left }} left the class and {{ "is" if found.left == 1 else "are" }} not counted{% endif %}. As of {{ time(found.moment, zone) }} ({{ zone }}).
{%- if next %} {% if next.opens > found.moment %}The calendar publishes {{ lab_name(next.lab.id) }} on {{ next.opens.strftime("%a %d %b, %H:%M") }}.{% else %}{{ lab_name(next.lab.id) }} is open and not out: <a href="{{ base_url }}/formgrader/queue">the queue</a> says why, or it is not built.{% endif %}{% endif %}</p>
{% if found.sections %}
<p>Sections: <a href="{{ base_url }}/formgrader/class"{% if not found.section %} aria-current="true"{% endif %}>all</a>
{% for section in found.sections %} · <a href="{{ base_url }}/formgrader/class?section={{ section | urlencode }}"{% if section == found.section %} aria-current="true"{% endif %}>{{ section }}</a>{% endfor %}</p>
{% endif %}
<div class="wide" tabindex="0" role="region" aria-label="Labs">
<table>
<thead><tr><th scope="col">Lab</th><th scope="col">Opens</th><th scope="col">Due</th><th scope="col" class="n">Collected</th><th scope="col" class="n">Graded</th><th scope="col" class="n">Waits for a person</th><th scope="col" class="n">Late</th><th scope="col" class="n">Mean</th><th scope="col">Spread</th></tr></thead>
<tbody>
{% for lab in found.labs %}
<tr>
<th scope="row">{% if lab.graded %}<a href="{{ base_url }}/formgrader/statistics/{{ lab.id }}">{{ lab_name(lab.id) }}</a>{% else %}{{ lab_name(lab.id) }}{% endif %}<span class="note">{% if lab.out %}out{% elif lab.built %}not out{% else %}not built{% endif %}</span></th>
<td>{% if lab.opens %}{{ lab.opens.strftime("%d %b, %H:%M") }}{% endif %}</td>
<td>{{ lab.due.strftime("%d %b, %H:%M") }}{% if lab.extended %}<span class="note">{{ lab.extended }} extended</span>{% endif %}</td>
<td class="n">{{ lab.handed_in }}</td>
<td class="n">{% if lab.graded %}<a href="{{ base_url }}/formgrader/manage_submissions/{{ lab.id }}">{{ lab.graded }}</a>{% else %}0{% endif %}</td>
<td class="n">{{ lab.waits_for_person }}</td>
<td class="n">{{ lab.late }}</td>
<td class="n">{% if lab.mean is not none %}{{ "%.1f" | format(lab.mean) }} of {{ "%g" | format(lab.maximum) }}{% else %}–{% endif %}</td>
<td>{% if lab.graded %}<svg width="100" height="28" role="img" aria-label="Hand-ins by tenths of the points, fewest points first: {{ lab.spread | join(', ') }}">{% set most = lab.spread | max %}{% for count in lab.spread %}<rect x="{{ 10 * loop.index0 }}" y="{{ 26 - (24 * count / most) | round(1) }}" width="8" height="{{ (24 * count / most) | round(1) }}"></rect>{% endfor %}<path d="M0 27h100"></path></svg>{% endif %}</td>
</tr>
{% endfor %}
</tbody>
</table>
</div>
<h2>What waits</h2>
<p>{% if not found.has_handin %}There is no hand-in service here that students could ask through.{% elif found.waiting is none %}The hand-in service does not answer, so requests cannot be counted.{% elif found.waiting %}<a href="{{ base_url }}/formgrader/requests">{{ found.waiting }} request{{ "" if found.waiting == 1 else "s" }} to look at a grade again</a>.{% else %}No request to look at a grade again.{% endif %}</p>
<h2>Receipts</h2>
{% if found.audit.problems %}
<p class="bad">The gradebook is not what the receipts say: <a href="{{ base_url }}/formgrader/journal">{{ found.audit.problems | length }} problem{{ "" if found.audit.problems | length == 1 else "s" }}</a>.</p>
{% else %}
<p>{{ found.audit.receipts }} grades were written, and the gradebook says what their receipts say.</p>
{% endif %}
{% endblock %}
