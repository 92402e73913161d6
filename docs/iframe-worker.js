// The search of the site runs in a Worker. A page opened from the disk may not start one, so a hidden frame runs the Worker's
// script there. In the frame, `postMessage` passes data to the page as an event named after the script's URL, and `importScripts`
// loads scripts one after the other.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super()
      const frame = document.createElement("iframe")
      frame.hidden = true
      frame.srcdoc = "<script>" + [
        `postMessage = data => parent.dispatchEvent(new CustomEvent("${url}", { detail: data }))`,
        "importScripts = (...urls) => urls.reduce((before, url) => before.then(() => new Promise(done => {",
        "  const script = Object.assign(document.createElement('script'), { src: url, onload: done })",
        "  document.body.appendChild(script)",
        "})), Promise.resolve())",
      ].join("\n") + `</script><body><script src="${url}"></script></body>`
      window.addEventListener(url, event => {
        const message = new MessageEvent("message", { data: event.detail })
        this.dispatchEvent(message)
        this.onmessage?.(message)
      })
      this._loaded = new Promise(done => (frame.onload = () => done(frame.contentWindow)))
      document.body.appendChild(frame)
    }

    postMessage(data) {
      this._loaded.then(frame => frame.dispatchEvent(new frame.MessageEvent("message", { data })))
    }

    terminate() {}
  }
}
