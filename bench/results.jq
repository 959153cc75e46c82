# SPDX-License-Identifier: GPL-2.0-only
#
# What bench/run's results are read with, several kernels' at once: an array of documents.

# A name for each case and metric that is a time both sides have. Not what the in-tree
# module leaves undone when memory goes.
def rows:
	[.[].results[] | select(.unit == "ns" and .ratio and (.case | startswith("off-") | not)) |
		.case + " " + .metric] |
	reduce .[] as $k ([]; if index($k) then . else . + [$k] end);

# Of one document, the result of that name, or null.
def at($row): [.results[] | select(.case + " " + .metric == $row)][0];

# Of one document, without what a distribution adds.
def release: .kernel | split("-")[0] | split("+")[0];

# Of one result: does bench/goals.json hope for more?
def missed: .goal != null and .ratio != null and .ratio < .goal;
