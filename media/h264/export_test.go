package h264

// What tests go by.
const (
	MaxUnit       = maxUnit
	MaxNALs       = maxNALs
	MaxParameters = maxParameters
	MaxSPS        = maxSPS
	ShortCode     = shortCode
)

// Full tells whether no more parameter sets of a kind are taken.
func (u *Units) Full() bool { return len(u.sps) == maxSPS || len(u.pps) == maxPPS }
