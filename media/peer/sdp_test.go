package peer

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func testdata(t testing.TB, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestBadSDP(t *testing.T) {
	offer := testdata(t, "pion-offer.sdp")
	line := func(prefix string) string {
		for l := range strings.Lines(offer) {
			if strings.HasPrefix(l, prefix) {
				return l
			}
		}
		t.Fatalf("no line %s in the offer", prefix)
		return ""
	}
	replaced := func(old, with string) string { return strings.ReplaceAll(offer, old, with) }
	video := offer[strings.Index(offer, "m=video"):]
	for name, text := range map[string]string{
		"empty":                 "",
		"words":                 "hello",
		"no media":              offer[:strings.Index(offer, "m=")],
		"cut in a line":         offer[:len(offer)-40] + "a",
		"13 KiB":                offer + strings.Repeat("a=x:"+strings.Repeat("y", 90)+"\r\n", 140),
		"long line":             offer + "a=x:" + strings.Repeat("y", 2000) + "\r\n",
		"many lines":            offer + strings.Repeat("a=x\r\n", 700),
		"many sections":         offer + strings.Repeat("m=audio 9 UDP/TLS/RTP/SAVPF 0\r\n", 9),
		"many candidates":       offer + strings.Repeat("a=candidate:1 1 udp 1 127.0.0.1 9 typ host\r\n", 65),
		"no fingerprint":        replaced(line("a=fingerprint"), ""),
		"SHA-1":                 replaced("sha-256 ", "sha-1 "),
		"MD5":                   replaced("sha-256 ", "md5 "),
		"fingerprint of words":  replaced("sha-256 ", "sha-256 x "),
		"empty fingerprint":     replaced(line("a=fingerprint"), "a=fingerprint:sha-256 \r\n"),
		"two fingerprints":      offer + "a=fingerprint:sha-256 AA:BB\r\n",
		"setup:active in offer": replaced("setup:actpass", "setup:active"),
		"setup:holdconn":        replaced("setup:actpass", "setup:holdconn"),
		"no setup":              replaced(line("a=setup"), ""),
		"no ufrag":              replaced(line("a=ice-ufrag"), ""),
		"no password":           replaced(line("a=ice-pwd"), ""),
		"not encrypted":         replaced("UDP/TLS/RTP/SAVPF", "RTP/AVP"),
		"data channel":          offer + "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:2\r\na=sctp-port:5000\r\n",
		"no mid":                replaced("a=mid:", "a=mud:"),
		"one mid twice":         offer + video,
	} {
		t.Run(name, func(t *testing.T) {
			p := newEnd(t, newFactory(t, testConfig(t)), Options{})
			if _, err := p.Answer(t.Context(), text); !errors.Is(err, ErrBadSDP) {
				t.Errorf("Answer: %v", err)
			}
		})
	}
	t.Run("setup:actpass in answer", func(t *testing.T) {
		p := newEnd(t, newFactory(t, testConfig(t)), Options{})
		must(p.Offer(t.Context()))
		if err := p.Accept(offer); !errors.Is(err, ErrBadSDP) {
			t.Errorf("Accept: %v", err)
		}
	})
	t.Run("the table is not refused for another reason", func(t *testing.T) {
		p := newEnd(t, newFactory(t, testConfig(t)), Options{})
		if _, err := p.Answer(t.Context(), offer); err != nil {
			t.Error(err)
		}
	})
}

func TestReadChromium(t *testing.T) {
	d, err := readSDP(testdata(t, "chromium-whep-offer.sdp"), true)
	if err != nil {
		t.Fatal(err)
	}
	video, audio := d.section(Video), d.section(Audio)
	if video == nil || audio == nil || video.direction != "recvonly" {
		t.Fatalf("sections: %+v", d.sections)
	}
	if got := video.codecs; len(got) != 2 || got[0] != VP8 || got[1] != H264 {
		t.Errorf("video codecs of ours in Chromium's order: %v", got)
	}
	if !strings.Contains(strings.Join(video.named, " "), "VP9/90000") {
		t.Errorf("named: %v", video.named)
	}
}

// The seeds are SDPs as pion and Chromium made them.
func sdpSeeds(f *testing.F, names ...string) {
	for _, name := range names {
		f.Add(testdata(f, name))
	}
	f.Add("v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\n")
}

func FuzzOffer(f *testing.F) {
	sdpSeeds(f, "pion-offer.sdp", "chromium-whep-offer.sdp", "chromium-call-offer.sdp")
	factory := newFactory(f, Config{Interfaces: []string{"none"}})
	f.Fuzz(func(t *testing.T, offer string) {
		p, err := factory.NewPeer(Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		if _, err := p.Answer(t.Context(), offer); err != nil && !errors.Is(err, ErrBadSDP) && !errors.Is(err, ErrNoCodec) {
			t.Errorf("an error without a type: %v", err)
		}
	})
}

func FuzzAnswer(f *testing.F) {
	sdpSeeds(f, "pion-answer.sdp", "chromium-call-answer.sdp")
	factory := newFactory(f, Config{Interfaces: []string{"none"}})
	f.Fuzz(func(t *testing.T, answer string) {
		p, err := factory.NewPeer(Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		if _, err := p.Offer(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := p.Accept(answer); err != nil && !errors.Is(err, ErrBadSDP) && !errors.Is(err, ErrNoCodec) {
			t.Errorf("an error without a type: %v", err)
		}
	})
}

func FuzzCandidate(f *testing.F) {
	for line := range strings.Lines(testdata(f, "candidates.txt")) {
		f.Add(strings.TrimSpace(line))
	}
	factory := newFactory(f, Config{Interfaces: []string{"none"}})
	offer := testdata(f, "pion-offer.sdp")
	f.Fuzz(func(t *testing.T, line string) {
		p, err := factory.NewPeer(Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		for range 2 { // before the description and after it
			if err := p.AddCandidate(line); err != nil && !errors.Is(err, ErrBadCandidate) {
				t.Errorf("an error without a type: %v", err)
			}
			if p.begun {
				break
			}
			if _, err := p.Answer(t.Context(), offer); err != nil {
				t.Fatal(err)
			}
		}
	})
}
