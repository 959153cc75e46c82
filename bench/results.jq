# SPDX-License-Identifier: GPL-2.0-only
#
# Functions to read bench/run's results of several kernels: an array of documents.

# A name for each case and metric that is a time and that both sides have; not "off", since
# the in-tree module revokes nothing when memory goes off.
def rows:
	[.[].results[] | select(.unit == "ns" and .ratio and (.case | startswith("off-") | not)) |
		.case + " " + .metric] |
	reduce .[] as $k ([]; if index($k) then . else . + [$k] end);

# The result with that name in a document, or null.
def at($row): [.results[] | select(.case + " " + .metric == $row)][0];

# The kernel version of a document, without the distribution's suffix.
def release: .kernel | split("-")[0] | split("+")[0];

# Is a result below its goal in bench/goals.json?
def missed: .goal != null and .ratio != null and .ratio < .goal;
