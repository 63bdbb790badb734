// Appended to nbgrader's utils.js, which every page of formgrader loads, as accessible.js is: the queue on each page, links that
// work behind a Hub, and no buttons that an assistant may not press.

(function () {
    "use strict";

    // The page of one submission counts /formgrader to its base.
    var root = function () { return base_url.replace(/\/formgrader$/, ""); };

    // nbgrader links to /tree and /notebooks at the root of the origin, which is the Hub here.
    if (window === window.top) {
        window.linkTo = function (type, path) {
            return function (_, element) {
                return $(element).attr("href", root() + "/lab/tree/" + path).attr("target", "_blank")[0];
            };
        };
    }

    // A button's answer begins with "queued: "; nbgrader's dialogue would say that the work is done.
    var log_modal = window.createLogModal;
    window.createLogModal = function (id, title, message, log, error) {
        if (log && log.indexOf("queued: ") === 0) { return poll(); }
        return log_modal(id, title, message, log, error);
    };

    var labels = {waiting: "label-default", running: "label-primary", done: "label-success", failed: "label-danger"};

    var seconds = function (job) {
        if (!job.started) { return ""; }
        var end = job.ended ? new Date(job.ended) : new Date();
        return Math.max(0, Math.round((end - new Date(job.started)) / 1000)) + " s";
    };

    var state = function (job) {
        var shown = $("<span/>").append(
            $("<span/>").addClass("label " + labels[job.state]).text(job.state), " ", seconds(job));
        if (job.progress) {
            var said = job.progress[0] + " of " + job.progress[1];
            shown.append(" ", $("<progress/>").attr({value: job.progress[0], max: job.progress[1], "aria-label": job.title}),
                " ", document.createTextNode(said));
        }
        return shown;
    };

    var clock = function (time) { return new Date(time).toLocaleTimeString(); };

    var show_panel = function (jobs) {
        var panel = $("#course-queue").empty();
        var open = jobs.filter(function (job) { return job.state === "waiting" || job.state === "running"; });
        var shown = open.slice(-6).reverse().concat(jobs.filter(function (job) { return job.ended; }).slice(0, 3));
        if (!shown.length) { return; }
        var list = $("<ul/>").addClass("list-unstyled");
        shown.forEach(function (job) {
            var line = $("<li/>").append(state(job), " ", document.createTextNode(job.title));
            if (job.state === "failed") {
                line.append(" ", $("<span/>").addClass("text-danger").text(job.text.split("\n").pop()));
            }
            list.append(line);
        });
        panel.append(list);
        if (open.length > 6) {
            panel.append($("<p/>").text((open.length - 6) + " more are waiting."));
        }
        panel.append($("<a/>").attr("href", root() + "/formgrader/queue").text("The whole queue"));
    };

    // A row that says the same is left alone: whoever scrolls in it by keyboard keeps the place.
    var rows = {};
    var show_page = function (jobs) {
        var table = $("#main-table");
        table.children("tr").filter(function () { return !$(this).data("job"); }).remove();
        var kept = {};
        jobs.slice().reverse().forEach(function (job) {
            var said = JSON.stringify(job);
            var old = kept[job.number] = rows[job.number];
            if (old && old.said === said && job.state !== "running") { return; }
            var text = $("<pre/>").text(job.text || " ");
            if (job.text) { text.attr({tabindex: 0, role: "group", "aria-label": "What was said by: " + job.title}); }
            var row = $("<tr/>").data("job", job.number).append(
                $("<td/>").text(job.title), $("<td/>").append(state(job)), $("<td/>").text(job.who),
                $("<td/>").text(clock(job.asked)), $("<td/>").append(text));
            if (old) { old.row.replaceWith(row); } else { table.prepend(row); }
            kept[job.number] = {said: said, row: row};
        });
        Object.keys(rows).forEach(function (number) { if (!kept[number]) { rows[number].row.remove(); } });
        rows = kept;
        if (!jobs.length) {
            table.append($("<tr/>").append($("<td/>").attr("colspan", 5).text("Nothing was queued yet.")));
        }
    };

    // The list changes with every second; who hears the page is told only what has begun or ended.
    var states = null;
    var announce = function (jobs) {
        var news = states ? jobs.filter(function (job) { return states[job.number] !== job.state; }) : [];
        states = states || {};
        jobs.forEach(function (job) { states[job.number] = job.state; });
        if (news.length) {
            $("#course-queue-said").text(news.map(function (job) { return job.title + ": " + job.state; }).join(", "));
        }
        return news;
    };

    var timer = null;
    var poll = function () {
        clearTimeout(timer);
        var header = {"X-XSRFToken": getCookie("_xsrf")}; // the Hub takes no other request but page views without it
        $.ajax(root() + "/formgrader/api/queue", {dataType: "json", headers: header}).done(function (answer) {
            $("body").toggleClass("course-assistant", !answer.instructor);
            var news = announce(answer.jobs);
            if (location.pathname.replace(/\/$/, "") === root() + "/formgrader/queue") {
                show_page(answer.jobs);
            } else {
                show_panel(answer.jobs);
            }
            if (news.some(function (job) { return job.ended; })) { refresh(); }
            timer = setTimeout(poll, answer.jobs.some(function (job) { return !job.ended; }) ? 2000 : 10000);
        }).fail(function () {
            $("#course-queue").text("The course service does not answer. Reload the page; nothing queued is lost.");
            timer = setTimeout(poll, 10000);
        });
    };

    var refresh = function () {
        if (typeof models !== "undefined" && models && models.each) {
            models.each(function (model) { model.fetch(); });
        }
    };

    // `models`, `base_url` and `assignment_id` are globals of nbgrader's pages.
    $(function () {
        $("head").append($("<link/>").attr({rel: "stylesheet", href: root() + "/formgrader/course/course.css"}));
        var sidebar = $(".nav-stacked");
        if (!sidebar.length) { return; } // the page of one submission
        if (window === window.top) {
            sidebar.append($("<li/>").addClass("course-instructor").append(
                $("<a/>").attr("href", root() + "/lab").text("JupyterLab of the course")));
        }
        $("#main-table").closest(".wide").before(
            $("<div/>").attr("id", "course-queue"),
            $("<div/>").addClass("sr-only").attr({id: "course-queue-said", role: "status"}));
        if (/\/manage_submissions\//.test(location.pathname)) {
            $("#course-queue").before($("<button/>").addClass("btn btn-default").attr("id", "grade-everyone")
                .text("Grade everyone").click(function () {
                    $.post(root() + "/formgrader/api/assignment/" + assignment_id + "/autograde").done(poll);
                }));
        }
        poll();
    });
}());
