// The libraries are classic scripts that leave a global behind; each is fetched when it is first needed.
const scripts = new Map();

export function loadScript(path) {
  if (!scripts.has(path)) {
    scripts.set(path, new Promise((resolve, reject) => {
      const script = document.createElement('script');
      script.src = path;
      script.async = false;  // in the order asked for
      script.onload = resolve;
      script.onerror = () => {
        scripts.delete(path);
        script.remove();
        reject(new Error(path));
      };
      document.head.append(script);
    }));
  }
  return scripts.get(path);
}
