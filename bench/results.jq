# SPDX-License-Identifier: GPL-2.0-only
#
# Functions that read the results of several kernels: an array of the documents of
# bench/run.

# The name "CASE METRIC" of each time that was measured on the in-tree module and on tether.
# The cases "off-..." are left out: they time how memory goes off, and then the in-tree
# module does nothing, so there is no comparison.
def rows:
	[.[].results[] | select(.unit == "ns" and .ratio and (.case | startswith("off-") | not)) |
		.case + " " + .metric] |
	reduce .[] as $k ([]; if index($k) then . else . + [$k] end);

# The result with the name $row in a document, or null.
def at($row): [.results[] | select(.case + " " + .metric == $row)][0];

# The kernel version of a document, without the distribution's suffix.
def release: .kernel | split("-")[0] | split("+")[0];

# Is a result below its goal in bench/goals.json?
def missed: .goal != null and .ratio != null and .ratio < .goal;
