{%- extends 'base.tpl' -%}

{%- block title -%}
Queue
{%- endblock -%}

{%- block table_header -%}
<tr>
  <th>Job</th>
  <th>State</th>
  <th>Asked by</th>
  <th>Asked</th>
  <th>What it said</th>
</tr>
{%- endblock -%}

{%- block table_body -%}
<tr><td colspan="5">Loading, please wait...</td></tr>
{%- endblock -%}
