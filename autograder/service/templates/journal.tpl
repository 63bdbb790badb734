{% extends "staff.tpl" %}
{% from "macros.tpl" import lab_name, time %}
{% block title %}Journal{% endblock %}
{% block content %}
{% if audit.problems %}
<p class="bad">The gradebook is not what the receipts say:</p>
<ul>{% for problem in audit.problems %}<li class="said">{{ problem }}</li>{% endfor %}</ul>
{% else %}
<p>{{ audit.receipts }} receipts and {{ audit.actions }} actions: both chains hold, and the gradebook says what the receipts say.</p>
{% endif %}
{% if not audit.broken %}
<p>Whoever keeps these two hashes can prove later that nothing before them was changed (<code>course audit --head HASH</code>): receipts <code>{{ audit.head }}</code>, actions <code>{{ audit.actions_head }}</code></p>
<form method="get" action="{{ base_url }}/formgrader/journal" class="filter">
<label>Student <input name="student" value="{{ student }}" size="12"></label>
<label>Lab <input name="lab" value="{{ lab }}" size="24"></label>
<button>Show</button></form>
<h2>What the staff did</h2>
{% if actions %}
<div class="wide" tabindex="0" role="region" aria-label="Actions">
<table>
<thead><tr><th scope="col" class="n">Number</th><th scope="col">When</th><th scope="col">Who</th><th scope="col">What</th><th scope="col">Student</th><th scope="col">Lab</th></tr></thead>
<tbody>
{% for one in actions %}
<tr><td class="n">{{ one.number }}</td><td>{{ time(one.when, zone) }}</td><th scope="row">{{ one.who }}</th><td class="t">{{ one.what }}</td><td>{{ one.student }}</td><td class="t">{{ lab_name(one.lab) }}</td></tr>
{% endfor %}
</tbody>
</table>
</div>
{% else %}
<p>Nothing that fits.</p>
{% endif %}
<h2>Receipts of grades</h2>
{% if receipts %}
<div class="wide" tabindex="0" role="region" aria-label="Receipts">
<table>
<thead><tr><th scope="col" class="n">Number</th><th scope="col">When (UTC)</th><th scope="col">Asked by</th><th scope="col">Student</th><th scope="col">Lab</th><th scope="col">Notebook</th><th scope="col" class="n">Points</th><th scope="col">Hash</th></tr></thead>
<tbody>
{% for one in receipts %}
<tr><td class="n">{{ one.number }}</td><td>{{ one.when[:16].replace("T", " ") }}</td><td>{{ one.by }}</td><th scope="row">{{ one.student }}</th><td class="t">{{ lab_name(one.lab) }}</td><td class="t">{{ one.notebook.replace("_", " ") }}</td><td class="n">{% if one.deleted %}deleted{% else %}{{ "%g" | format(one.cells | sum("points")) }} of {{ "%g" | format(one.cells | sum("maximum")) }}{% endif %}</td><td><code>{{ one.hash[:12] }}</code></td></tr>
{% endfor %}
</tbody>
</table>
</div>
{% else %}
<p>Nothing that fits.</p>
{% endif %}
{% if actions | length >= most or receipts | length >= most %}<p>Only the newest {{ most }} of each are shown.</p>{% endif %}
{% endif %}
{% endblock %}
