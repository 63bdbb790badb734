{% extends "staff.tpl" %}
{% from "macros.tpl" import button, lab_name, time %}
{% block title %}Hand-ins that are alike{% endblock %}
{% block content %}
<p>Pairs that share much of their own code. What the course gave is left out. Alike is not copied: look for the same names, the same detours and the same mistakes, and talk to both.</p>
{% for lab, comparison in labs %}
<section aria-labelledby="{{ lab }}">
<h2 id="{{ lab }}">{{ lab_name(lab) }}</h2>
{% if comparison %}
<p>Compared {{ comparison.when[:16].replace("T", " ") }} UTC: {{ comparison.pairs | length }} pair{{ "" if comparison.pairs | length == 1 else "s" }} with {{ "%.0f" | format(100 * comparison.at_least) }}% or more in common.{% if comparison.too_long %} Not compared, because they have more code than anybody writes: {{ comparison.too_long | join("; ") }}.{% endif %}</p>
{% if comparison.pairs %}
<div class="wide" tabindex="0" role="region" aria-label="Pairs of {{ lab_name(lab) }}">
<table>
<thead><tr><th scope="col">Hand-ins</th><th scope="col">Notebook</th><th scope="col" class="n">Shared</th><th scope="col" class="n">Tokens in common</th></tr></thead>
<tbody>
{% for pair in comparison.pairs %}
<tr><th scope="row"><a href="{{ base_url }}/formgrader/similar/{{ lab }}/{{ pair.notebook }}/{{ pair.first }}/{{ pair.second }}">{{ pair.first }} and {{ pair.second }}</a></th><td>{{ pair.notebook }}</td><td class="n">{{ "%.0f" | format(100 * pair.share) }}%</td><td class="n">{{ pair.tokens }}</td></tr>
{% endfor %}
</tbody>
</table>
</div>
{% endif %}
{% else %}
<p>Not compared yet.</p>
{% endif %}
{{ button(base_url ~ "/formgrader/similar/" ~ lab, "Compare " ~ ("again" if comparison else "now"), xsrf) }}
</section>
{% else %}
<p>No lab is built here yet.</p>
{% endfor %}
{% endblock %}
