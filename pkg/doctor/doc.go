// Package doctor finds out what keeps rollspan from telling of changes where it is asked: whether
// the API server answers and in which version, whether its clock and ours agree, what may be read
// and what traces lose without the rest, whether the collector takes spans, whether the data
// directory can be used. It changes nothing, and reads no object but Leases of rollspan's own and
// the metadata of Events. Begin with Examine.
package doctor
