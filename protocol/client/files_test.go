package client

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/herald-im/herald/protocol"
)

func TestUpload(t *testing.T) {
	answer, status := `{"status":true,"upload":"upload:w/a","uuid":"u","size":5}`, http.StatusOK
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.Method != "POST" || r.URL.Path != "/v1/files" || r.URL.Query().Get("name") != "a & b.txt" || r.ContentLength != 5 || string(body) != "hello" {
			t.Errorf("asked %s %s %d %s", r.Method, r.URL, r.ContentLength, body)
		}
		w.WriteHeader(status)
		fmt.Fprintln(w, answer)
	})
	upload := func() (Uploaded, error) {
		return c.Upload(within(t), "a & b.txt", 5, strings.NewReader("hello"))
	}
	if u, err := upload(); err != nil || u != (Uploaded{Upload: "upload:w/a", UUID: "u", Size: 5}) {
		t.Errorf("%+v, %v", u, err)
	}
	answer = strings.Repeat(" ", maxAnswer+1)
	if _, err := upload(); err == nil || !strings.Contains(err.Error(), "over 16777216 bytes") {
		t.Errorf("an endless answer: %v", err)
	}
	answer = `[]`
	if _, err := upload(); err == nil || !strings.Contains(err.Error(), "decode answer") {
		t.Errorf("another answer: %v", err)
	}
	answer, status = `{"code":7006,"msg":"too large"}`, http.StatusRequestEntityTooLarge
	var e *protocol.Error
	if _, err := upload(); !errors.As(err, &e) || e.Code != 7006 {
		t.Errorf("refused: %v", err)
	}
}

func TestDownload(t *testing.T) {
	uuid := strings.Repeat("0a", 32)
	status := http.StatusOK
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method != "GET" || r.URL.Path != "/v1/files/"+uuid || r.Header.Get("Range") != "" {
			t.Errorf("asked %s %s %s", r.Method, r.URL, r.Header)
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, `{"code":9508,"msg":"no link"}`)
	})
	body, err := c.Download(within(t), uuid)
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	if b, err := io.ReadAll(body); err != nil || !strings.HasPrefix(string(b), `{"code":9508`) {
		t.Errorf("%s, %v", b, err)
	}
	var e *protocol.Error
	for _, status = range []int{http.StatusServiceUnavailable, http.StatusPartialContent} {
		if _, err := c.Download(within(t), uuid); !errors.As(err, &e) || e.Code != 9508 {
			t.Errorf("%d: %v", status, err)
		}
	}
	for _, bad := range []string{"", "..", strings.ToUpper(uuid)} {
		if _, err := c.Download(within(t), bad); !errors.As(err, &e) || e.Code != protocol.CodeInvalidParameters {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
