package conformance

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// limit bounds a whole run: machines are slow.
const limit = 10 * time.Minute

// result is what a case has come to.
type result struct {
	Name  string
	Error string
	Ms    float64
}

// show makes a subtest of each case.
func (h *house) show(results []result) {
	if len(results) == 0 {
		h.t.Fatal("no case has run")
	}
	for _, r := range results {
		h.t.Run(r.Name, func(t *testing.T) {
			t.Logf("%.0f ms", r.Ms)
			if r.Error != "" {
				t.Error(r.Error)
			}
		})
	}
	if last := results[len(results)-1]; last.Name != "close" {
		h.t.Errorf("the run has ended with %q", last.Name)
	}
}

func TestNode(t *testing.T) {
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("node is needed: scripts/deps test installs it")
	}
	h := newHouse(t)
	in, err := json.Marshal(h.config)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, node, filepath.Join(root, "web", "conformance", "node.mjs"))
	cmd.Stdin = bytes.NewReader(in)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	// It ends by itself: nothing of the client keeps a program from its end.
	out, err := cmd.Output()
	var results []result
	for s := bufio.NewScanner(bytes.NewReader(out)); s.Scan(); {
		var r result
		if err := json.Unmarshal(s.Bytes(), &r); err != nil {
			t.Fatalf("%q: %v", s.Text(), err)
		}
		results = append(results, r)
	}
	if err != nil {
		t.Errorf("node: %v\n%s", err, stderr.Bytes())
	}
	h.show(results)
}

func TestChromium(t *testing.T) {
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("chromium is needed: scripts/deps test installs it")
	}
	h := newHouse(t)
	o := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(chromium), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.WindowSize(800, 800), chromedp.UserDataDir(filepath.Join(t.TempDir(), "profile")),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true), chromedp.Flag("force-device-scale-factor", "1"))
	browser, end := chromedp.NewExecAllocator(t.Context(), o...)
	defer end()
	tab, closeTab := chromedp.NewContext(browser)
	defer closeTab()
	if err := chromedp.Do(tab, chromedp.Navigate(h.pages+"/conformance/page.html")); err != nil {
		t.Fatal(err)
	}
	var page struct {
		Ended   bool
		Failed  string
		Results []result
	}
	for end := time.Now().Add(limit); !page.Ended && page.Failed == ""; time.Sleep(200 * time.Millisecond) {
		text, err := chromedp.Run(tab, chromedp.Evaluate[string]("JSON.stringify({Ended: !!window.ended, Failed: window.failed ?? '', Results: window.results ?? []})"))
		if err == nil {
			err = json.Unmarshal([]byte(text), &page)
		}
		if err != nil {
			t.Fatal(err)
		}
		if time.Now().After(end) {
			t.Errorf("the page is not at its end after %v", limit)
			break
		}
	}
	if page.Failed != "" {
		t.Error(strings.TrimSpace(page.Failed))
	}
	h.show(page.Results)
}
