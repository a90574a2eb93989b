# SPDX-License-Identifier: Apache-2.0
"""Each module here has CONTENDERS, a list of classes, and ORDER, a number: its place in the tables."""
