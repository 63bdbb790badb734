{%- extends 'nbgrader/manage_submissions.tpl' -%}

{%- block messages -%}
<details class="course-help">
  <summary>What the buttons do</summary>
  <p><b>Grade everyone</b> grades what has changed since it was graded last; <b>Autograde</b> grades one student again,
  whatever is stored. Both run in the sandbox, one after the other, and the queue shows how far they are.</p>
  <p><b>Generate Feedback</b> writes a student's page, which only the staff can read; <b>Release Feedback</b> gives it to
  the student. A student's name leads to the notebooks, to grade what is written by hand.</p>
  <p>Never run <code>nbgrader autograde</code>: it executes a hand-in under your own account, without a sandbox, and lets
  the hand-in decide about its tests.</p>
</details>
{%- endblock -%}
