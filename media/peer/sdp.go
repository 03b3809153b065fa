package peer

import (
	"slices"
	"strconv"
	"strings"

	"github.com/pion/sdp/v3"
)

// Bounds of a remote description. Chromium's offers for a video call are below 7 KiB.
const (
	maxSDPBytes      = 12 << 10
	maxSDPLines      = 600
	maxSDPLineBytes  = 1024
	maxSections      = 8
	maxSDPCandidates = 64
	maxNamedCodecs   = 32
)

// strongHashes are the fingerprint algorithms taken (RFC 8122 §5 forbids MD2 and MD5; SHA-1 is broken too).
var strongHashes = []string{"sha-256", "sha-384", "sha-512"}

// description is what we look at in a remote SDP before pion gets it.
type description struct {
	sections []section
	ufrag    string
}

type section struct {
	kind      Kind
	mid       string
	rejected  bool
	direction string
	codecs    []Codec  // of ours, in the remote's order
	named     []string // all real codecs, for errors
}

// section gives the first section of a kind that is not rejected.
func (d *description) section(kind Kind) *section {
	for i := range d.sections {
		if s := &d.sections[i]; s.kind == kind && !s.rejected {
			return s
		}
	}
	return nil
}

// readSDP checks a remote description. Its errors are ErrBadSDP.
func readSDP(text string, offer bool) (*description, error) {
	if err := boundSDP(text); err != nil {
		return nil, err
	}
	var parsed sdp.SessionDescription
	if err := parsed.UnmarshalString(text); err != nil {
		return nil, badSDP("%v", err)
	}
	d := &description{}
	var fingerprints []string
	gather := func(attrs []sdp.Attribute) error {
		for _, a := range attrs {
			switch a.Key {
			case "fingerprint":
				fingerprints = append(fingerprints, a.Value)
			case "ice-ufrag":
				d.ufrag = a.Value
			case "setup":
				// RFC 8842 §5.2 and §5.3: an offer leaves the role to the answer, and the answer decides it.
				if offer && a.Value != "actpass" || !offer && a.Value != "active" && a.Value != "passive" {
					return badSDP("setup:%s does not fit", a.Value)
				}
			}
		}
		return nil
	}
	if err := gather(parsed.Attributes); err != nil {
		return nil, err
	}
	_, sessionSetup := parsed.Attribute("setup")
	for _, m := range parsed.MediaDescriptions {
		if err := gather(m.Attributes); err != nil {
			return nil, err
		}
		s, err := readSection(m, &parsed)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(d.sections, func(o section) bool { return o.mid == s.mid }) {
			return nil, badSDP("two sections have mid %q", s.mid)
		}
		if _, ok := m.Attribute("setup"); !s.rejected && !ok && !sessionSetup {
			return nil, badSDP("the %s section has no setup attribute", s.kind)
		}
		d.sections = append(d.sections, s)
	}
	if d.ufrag == "" {
		return nil, badSDP("no ice-ufrag")
	}
	return d, checkFingerprints(fingerprints)
}

// boundSDP refuses what would cost much to parse.
func boundSDP(text string) error {
	if len(text) > maxSDPBytes {
		return badSDP("%d bytes, at most %d are taken", len(text), maxSDPBytes)
	}
	lines, sections, candidates := 0, 0, 0
	for line := range strings.Lines(text) {
		lines++
		switch {
		case len(line) > maxSDPLineBytes:
			return badSDP("line %d is longer than %d bytes", lines, maxSDPLineBytes)
		case strings.HasPrefix(line, "m="):
			sections++
		case strings.HasPrefix(line, "a=candidate:"):
			candidates++
		}
	}
	switch {
	case lines > maxSDPLines:
		return badSDP("%d lines, at most %d are taken", lines, maxSDPLines)
	case sections == 0:
		return badSDP("no media section")
	case sections > maxSections:
		return badSDP("%d media sections, at most %d are taken", sections, maxSections)
	case candidates > maxSDPCandidates:
		return badSDP("%d candidates, at most %d are taken", candidates, maxSDPCandidates)
	}
	return nil
}

func readSection(m *sdp.MediaDescription, whole *sdp.SessionDescription) (section, error) {
	s := section{kind: Kind(m.MediaName.Media), direction: "sendrecv"}
	if s.kind != Audio && s.kind != Video {
		return s, badSDP("a media section of kind %q: only audio and video are taken", m.MediaName.Media)
	}
	if !slices.Contains(m.MediaName.Protos, "SAVPF") {
		return s, badSDP("the %s section has the profile %s, which is not encrypted", s.kind, strings.Join(m.MediaName.Protos, "/"))
	}
	if s.mid, _ = m.Attribute("mid"); s.mid == "" {
		return s, badSDP("the %s section has no mid", s.kind)
	}
	_, bundleOnly := m.Attribute("bundle-only")
	s.rejected = m.MediaName.Port.Value == 0 && !bundleOnly
	for _, attrs := range [][]sdp.Attribute{whole.Attributes, m.Attributes} {
		for _, a := range attrs {
			if slices.Contains([]string{"sendrecv", "sendonly", "recvonly", "inactive"}, a.Key) {
				s.direction = a.Key
			}
		}
	}

	fmtp := map[string]string{}
	for _, a := range m.Attributes {
		if a.Key == "fmtp" {
			if payload, value, ok := strings.Cut(a.Value, " "); ok {
				fmtp[payload] = value
			}
		}
	}
	for _, a := range m.Attributes {
		payload, name, ok := strings.Cut(a.Value, " ")
		if a.Key != "rtpmap" || !ok || !slices.Contains(m.MediaName.Formats, payload) {
			continue
		}
		encoding, rate, _ := strings.Cut(name, "/")
		switch strings.ToLower(encoding) {
		case "rtx", "red", "ulpfec", "flexfec-03", "cn", "telephone-event":
			continue // not codecs, but what goes with them
		}
		if len(s.named) < maxNamedCodecs && !slices.Contains(s.named, name) {
			s.named = append(s.named, name)
		}
		codec := codecOf(string(s.kind) + "/" + encoding)
		if rate, _, _ = strings.Cut(rate, "/"); codec != "" && rate != strconv.Itoa(int(codec.clockRate())) {
			continue // one of that name, and another one (RFC 8866 §6.6)
		}
		if codec == H264 && !strings.Contains(strings.ReplaceAll(fmtp[payload], " ", ""), "packetization-mode=1") {
			continue // a frame of ours does not fit into single packets
		}
		if codec != "" && !slices.Contains(s.codecs, codec) {
			s.codecs = append(s.codecs, codec)
		}
	}
	return s, nil
}

func checkFingerprints(fingerprints []string) error {
	if len(fingerprints) == 0 {
		return badSDP("no fingerprint")
	}
	for _, f := range fingerprints {
		hash, value, ok := strings.Cut(f, " ")
		if !ok || value == "" || strings.Contains(value, " ") {
			return badSDP("a malformed fingerprint")
		}
		if !slices.Contains(strongHashes, strings.ToLower(hash)) {
			return badSDP("a fingerprint by %q, which proves too little", hash)
		}
		// All media share one transport, so there is one certificate.
		if !strings.EqualFold(f, fingerprints[0]) {
			return badSDP("fingerprints that differ")
		}
	}
	return nil
}
