-- What scripts begin with that take no position: whoever calls them has put in doubt first what is overdue.
if overdue then return {'overdue'} end
