{%- extends 'nbgrader/manage_assignments.tpl' -%}

{%- block messages -%}
<details class="course-help dates-of-the-course">
  <summary>What the buttons do</summary>
  <ul>
    <li><b>Generate</b> builds a lab from its source and proves it: the reference has every point, a fresh copy none.</li>
    <li><b>Release</b> gives the lab to the students. It cannot be taken back: <code>course release LAB --erratum</code>
      publishes a mended one beside it.</li>
    <li><b>Collect</b> fetches every student's newest attempt from the hand-in service.</li>
    <li>The <b>number of submissions</b> leads to the list on which they are graded.</li>
    <li><b>Generate Feedback</b> writes a page for each student, <b>Release Feedback</b> gives it to them.</li>
  </ul>
  <p>Everything long goes into the queue, one job after the other. A lab is added in <code>course.toml</code>, where its
  deadline stands too.</p>
</details>
{%- if exchange_missing %}
<div class="alert alert-warning" id="warning-exchange">
  The exchange folder <code>{{ exchange }}</code> is missing and could not be made, so that nothing can be released or
  collected. Make it, as the account that the course runs under, then reload this page.
</div>
{%- endif %}
{%- endblock -%}

{%- block table_footer -%}
{%- endblock -%}
