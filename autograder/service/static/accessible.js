// Appended to nbgrader's utils.js, which every page of formgrader loads: names for icons, fields and people that
// have none, and keys for icons that only a mouse can press.

(function () {
    "use strict";

    // A link that is an icon is called after its column and its row.
    var name_icons = function (rows) {
        var heads = $("#main-table").closest("table").find("thead th").map(function () { return $(this).text().trim(); });
        rows.each(function () {
            var row = $(this).children("td").filter(function () { return $(this).text().trim(); }).first().text().trim();
            $(this).children("td").each(function (column) {
                $(this).find("a").filter(function () { return !$(this).text().trim(); })
                    .attr({"aria-label": heads[column] + ", " + row, title: heads[column]});
            });
        });
    };

    // Who is on no roster has no name, and nbgrader would write "None, None".
    var name_people = function (rows) {
        rows.each(function () {
            var name = $(this).children(".name, .student-name").find("a").addBack().last();
            if (name.text() === "None, None") { name.text($(this).children(".id, .student-id").text()); }
        });
    };

    var press_with_keys = function (where) {
        where.find(".glyphicon.name-hidden, .glyphicon.name-shown").each(function () {
            var does = $(this).hasClass("name-hidden") ? "Show the name" : "Hide the name";
            var whose = $(this).closest("tr").find("a.name-hidden").first().text();
            $(this).removeAttr("aria-hidden").attr({
                role: "button", tabindex: 0, "aria-label": whose ? does + ", " + whose : does});
        });
    };

    var name_fields = function () {
        $("input.score, input.extra-credit").each(function () {
            var cell = this.id.replace(/_extra_credit$/, "");
            $(this).attr("aria-label", ($(this).hasClass("score") ? "Points for " : "Extra points for ") + cell);
        });
        $("textarea.comment").each(function () {
            $(this).attr("aria-label", "Comment on " + this.id.replace(/-comment$/, ""));
        });
    };

    $(function () {
        document.documentElement.lang = "en";
        $("#notebook pre").attr("tabindex", 0); // wide ones are scrolled with keys
        $("#notebook").closest(".panel").children(".panel-heading").attr({role: "region", "aria-label": "Submission"});
        $("nav ul").attr("role", "presentation").children("li").attr("role", "presentation");
        $("thead th").filter(function () { return !$(this).text().trim(); })
            .append($("<span/>").addClass("sr-only").text("Name"));
        $(document).on("keydown", ".glyphicon[role=button]", function (event) {
            if (event.key === "Enter" || event.key === " ") {
                event.preventDefault();
                var others = $(this).siblings(".glyphicon[role=button]");
                $(this).click();
                others.filter(":visible").first().focus(); // the one that was pressed is hidden now
            }
        });
        var mend = function (rows) { name_people(rows); name_icons(rows); press_with_keys(rows); };
        mend($("#main-table tr"));
        press_with_keys($(document)); // the page of one submission has no table
        name_fields();
        var table = document.getElementById("main-table");
        // in a class whose rows change one after the other, each change mends its own row
        var changed = function (records) {
            var rows = records.map(function (record) { return $(record.target).closest("#main-table tr")[0]; });
            mend(rows.every(Boolean) ? $($.unique(rows)) : $("#main-table tr"));
        };
        if (table) { new MutationObserver(changed).observe(table, {childList: true, subtree: true}); }
    });
}());
