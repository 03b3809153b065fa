package rig

import _ "github.com/chromedp/chromedp"
