{%- from "macros.tpl" import staff_pages -%}
{#- In place of nbgrader's base.tpl: the same blocks and scripts, with landmarks and a language for those who hear the page. -#}
<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <title>{{ self.title() }}</title>
  {% for script in ["jquery/dist/jquery.min", "underscore/underscore-min", "backbone/backbone-min", "bootstrap/dist/js/bootstrap.min", "datatables.net/js/jquery.dataTables", "datatables.net-bs/js/dataTables.bootstrap"] -%}
  <script src="{{ base_url }}/formgrader/static/node_modules/{{ script }}.js"></script>
  {% endfor -%}
  <script src="{{ base_url }}/formgrader/static/js/backbone_xsrf.js"></script>
  <script src="{{ base_url }}/formgrader/static/js/utils.js"></script>
  <link rel="stylesheet" href="{{ base_url }}/formgrader/static/node_modules/bootstrap/dist/css/bootstrap.min.css">
  <link rel="stylesheet" href="{{ base_url }}/formgrader/static/node_modules/datatables.net-bs/css/dataTables.bootstrap.css">
  <link rel="stylesheet" href="{{ base_url }}/formgrader/static/css/nbgrader.css">
  <script>
  var base_url = "{{ base_url }}";
  </script>
  {%- block head -%}
  {%- endblock -%}
</head>
<body>
  <a class="sr-only sr-only-focusable" href="#content">To the content</a>
  <div class="container-fluid">
    <div class="row">
      <nav class="col-md-2" aria-label="Course">
        <ul class="nav nav-pills nav-stacked" role="presentation">
          {%- block sidebar -%}
          <li role="presentation"><a href="{{ base_url }}/formgrader/manage_assignments">Manage Assignments</a></li>
          <li role="presentation"><a href="{{ base_url }}/formgrader/gradebook">Manual Grading</a></li>
          <li role="presentation"><a href="{{ base_url }}/formgrader/manage_students">Manage Students</a></li>
          {%- endblock -%}
          {%- for address, name in staff_pages %}
          <li role="presentation"><a href="{{ base_url }}/formgrader/{{ address }}">{{ name }}</a></li>
          {%- endfor %}
        </ul>
      </nav>
      <main class="col-md-10" id="content">
        <h1 class="page-header">
          {%- block title -%}
          {%- endblock -%}
        </h1>
        {%- block body -%}
        {%- block breadcrumbs -%}
        {%- endblock -%}
        {%- block messages -%}
        {%- endblock -%}
        <div class="wide" tabindex="0" role="region" aria-label="{{ self.title() }}">
        <table class="table table-hover">
          <thead>
            {%- block table_header -%}
            {%- endblock -%}
          </thead>
          <tbody id="main-table">
            {%- block table_body -%}
            {%- endblock -%}
          </tbody>
          <tfoot>
            {%- block table_footer -%}
            {%- endblock -%}
          </tfoot>
        </table>
        </div>
        {%- endblock -%}
      </main>
    </div>
  </div>
  {%- block script -%}
  {%- endblock -%}
</body>
</html>
