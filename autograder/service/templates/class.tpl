<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>The class</title>
<link rel="stylesheet" href="{{ base_url }}/formgrader/course/class.css">
</head>
<body>
<header><nav aria-label="Formgrader">
<a href="{{ base_url }}/formgrader/manage_assignments">Labs</a>
<a href="{{ base_url }}/formgrader/gradebook">Manual grading</a>
<a href="{{ base_url }}/formgrader/manage_students">Students</a>
<a href="{{ base_url }}/formgrader/queue">Queue</a>
<a href="{{ base_url }}/formgrader/class" aria-current="page">Class</a>
</nav></header>
<main>
<h1>The class</h1>
<p>{{ found.students }} students in the gradebook. As of {{ found.moment.strftime("%a %d %b %Y, %H:%M") }} ({{ found.moment.tzinfo }}).</p>
<div class="wide" tabindex="0" role="region" aria-label="Labs">
<table>
<thead><tr><th scope="col">Lab</th><th scope="col">Opens</th><th scope="col">Due</th><th scope="col" class="n">Collected</th><th scope="col" class="n">Graded</th><th scope="col" class="n">Waits for a person</th><th scope="col" class="n">Late</th><th scope="col" class="n">Mean</th><th scope="col">Spread</th></tr></thead>
<tbody>
{% for lab in found.labs %}
<tr>
<th scope="row">{% if lab.graded %}<a href="{{ base_url }}/formgrader/statistics/{{ lab.id }}">{{ lab.id.replace("_", " ") }}</a>{% else %}{{ lab.id.replace("_", " ") }}{% endif %}{% if not lab.built %}<span class="note">not built</span>{% endif %}</th>
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
<h2>Requests to look at a grade again</h2>
{% if found.requests is none %}
<p>The hand-in service does not answer.</p>
{% elif found.requests %}
<p>Answer one in the course's terminal: <code>course requests answer NUMBER "text"</code></p>
<ul>{% for one in found.requests %}<li>{{ one.id }}: {{ one.student }}, {{ one.lab.replace("_", " ") }}, attempt {{ one.number }}<blockquote>{{ one.text }}</blockquote></li>{% endfor %}</ul>
{% else %}
<p>None waits for an answer.</p>
{% endif %}
<h2>Receipts</h2>
{% if found.audit.problems %}
<p class="bad">The gradebook is not what the receipts say:</p>
<ul>{% for problem in found.audit.problems %}<li>{{ problem }}</li>{% endfor %}</ul>
{% else %}
<p>{{ found.audit.receipts }} grades were written, and the gradebook says what their receipts say. The last receipt: <code>{{ found.audit.head[:16] }}</code></p>
{% endif %}
</main>
</body>
</html>
