"""What each thing that was done to rows does to the notebooks, and how to mend it: the one place of these texts."""

import re

from closedloop.market.reading import lines

_GONE = "its row counts nowhere"
_EMPTY = "it counts as missing"
_READ_OTHERWISE = "mend it in the source, or declare under the source how its values are written"
_NO_RECORD = "it is no record: nothing is missing", "nothing to do, or leave it out of the export"

_BY_REASON = (
    # files
    (re.escape(lines.UNFIT), _GONE, "see delimiter and quote under the source, or export again with texts in quotes"),
    (f"{lines.UNCLOSED}|{lines.AFTER_QUOTE}", _GONE, "double the quote inside the text, or see quote under the source"),
    ("line of more than", _GONE, "shorten its text, or close the quote that is open in it"),
    (f"{lines.FOOTER}|{lines.TOTAL}|{lines.AGAIN}", *_NO_RECORD),
    (re.escape(lines.CUT_OFF), "the records behind it count nowhere", "export the file again"),
    ("cells beside the table", _GONE, "name their column in the header, or remove them from the sheet"),
    ("characters that the declared encoding", "cells that hold them are empty", "write encoding under the source"),
    ("NUL bytes", "the text around them is read without them", "export the file again: it may be damaged"),
    ("a later file has the record", "the later row counts", "nothing to do, if key under the source names a record"),
    ("is missing in .* files", "rows of these files have no value in it", "export them again with the column"),
    ("column .* (a name of ours|there twice)", "a select finds it under that name only", "rename it in the source"),
    ("stands in the first row of each group", "the rows below have no value in it", "declare it under fill_down"),
    ("names no time zone", "its day, and so its period, may be another", "export all its times with their time zone"),
    ("by a join", "it counts nowhere", "write left join in the select, or export the records that it is joined with"),
    # what people decided
    ("by a condition of", "it counts nowhere", "nothing to do, or change the conditions of the select"),
    ("deleted in the source", "it counts nowhere", "nothing to do, or restore it in the source"),
    ("no deal of this market", "it counts nowhere", "nothing to do, or change keep under [deals] in market.toml"),
    ("of a deal left out", "it counts nowhere, as its deal", "nothing to do, or change keep under [deals]"),
    ("means nothing by values.csv", _EMPTY, "nothing to do, or write what it means into values.csv"),
    # values
    (".*have no rate", "neither means nor sums nor the pipeline's value are told", "add the rates to rates.csv"),
    ("no meaning in values.csv", "it counts as that; words on a loss become a note", "add its meaning to values.csv"),
    ("unreadable as an amount in the market's", _EMPTY, "add its rate of that month to rates.csv"),
    ("unreadable as an amount: in ", _EMPTY, "export converted amounts, or the currency in a column, with rates.csv"),
    ("unreadable as a date", _EMPTY, f"{_READ_OTHERWISE}; five digits are a spreadsheet's days: format them as dates"),
    ("unreadable", _EMPTY, _READ_OTHERWISE),
    ("not in list", _EMPTY, "say what it means in values.csv, or turn it into an allowed value in the select"),
    ("missing$", _EMPTY, "fill it in in the source, or leave the row out in the select"),
    ("(below|above|not above) ", _EMPTY, "mend it in the source, or turn it into an allowed value in the select"),
    ("a date outside", _EMPTY, "mend it in the source; what stands for no day is null in the select"),
    ("looks like telephone numbers", "it is kept as a field", "leave it out if people can be called by it"),
    (".*times the median", "means and sums rest on it", "cents, another currency? Mend it in the source"),
    # rows
    ("repeated", "the first row of its key counts alone", "give the select one row for each key"),
    ("touch about nothing", _GONE, "give it a lead, a deal or an account"),
    ("select that cannot be followed", "what it cannot read is not told", "write it with simpler parts, or in helpers"),
    # contradictions
    ("closed before created", "how long it took is not told", "mend the day in the source or in deals.sql"),
    ("open with closed_on", "it counts as open", "a forecast belongs into expected_close_on; else mend its outcome"),
    ("closed without closed_on", "it is open until the last day, and in no period", "fill in the day of its close"),
    ("won_amount without won", "the amount counts nowhere", "make it null in deals.sql, or mend the outcome"),
    ("won without won_amount", "it counts as won, and in no mean amount", "fill it in in the source"),
    ("loss_reason on won or open", "the reason counts nowhere", "make it null in deals.sql, or mend the outcome"),
    ("deal before its lead", "how long its lead took is not told", "mend the day, or the lead of the deal"),
    ("arm without experiment", "it is in no comparison of arms", "fill in the experiment's name"),
    ("ends before it starts", "its money counts on its first day", "mend the days in the source"),
    ("change_no not|dates falling", "its deal's stage on a day may be another", "number changes by their days"),
    ("change (before|after) its deal's life", "its deal's stage on a day may be another", "mend the day of either"),
    (r"\w+ before \w+", "how long it took from one to the other is not told", "mend the days in the source"),
    (r"\w+ not found in (\w+)", r"it counts without what its \1 tell", r"export the missing \1 too, or mend the id"),
    (r"\w+ missing", "it counts from its end or the last day on; accounts always", "fill it in in the source"),
    (r"\w+ after extracted_on", "it is in no period yet", "mend the day, or extracted_on in market.toml"),
    ("outcome not declared", "how often deals end so is not told", "add it to outcomes under [deals]"),
    ("open in an undeclared stage", "it is behind all stages", "add it to stages under [deals] in market.toml"),
    (r"(\w+) unlike its lead's", "its deal and its lead count for two of them", "spell both alike, in values.csv"),
)  # fmt: skip
_ANY = "it counts as it is", "see its lines in the source"


def effect(action: str, reason: str) -> tuple[str, str]:
    """What an action taken for a reason does to the notebooks, and how to mend what was found."""
    for pattern, does, mend in _BY_REASON:
        if found := re.match(pattern, reason):
            told = _GONE if action == "set aside" and does == _EMPTY else found.expand(does)
            return told, found.expand(mend)
    return _ANY
