// The picture that is asked about: from a file, a drop, the clipboard or the camera.

/** {blob, name, live, shown, width, height}; shown: what can be drawn, null where the browser cannot read it. */
export async function readPicture(blob, name, live) {
  const url = URL.createObjectURL(blob);
  const image = new Image();
  try {
    image.src = url;
    await image.decode();
    return { blob, name, live, shown: image, width: image.naturalWidth, height: image.naturalHeight };
  } catch {
    return { blob, name, live, shown: null, width: 0, height: 0 };
  } finally {
    URL.revokeObjectURL(url);
  }
}

/** The first picture of what was dropped or pasted, or null. */
export function pictureOf(transfer) {
  const files = [...(transfer?.files ?? [])];
  return files.find((file) => file.type.startsWith("image/")) ?? files[0] ?? null;
}

export const bytes = (count) =>
  count < 1000 ? `${count} bytes` : count < 1e6 ? `${Math.round(count / 1000)} KB` : `${(count / 1e6).toFixed(1)} MB`;

/** The camera's picture in a video. */
export class Camera {
  constructor(video) {
    this.video = video;
    this.stream = null;
  }

  /** Raises Error with a sentence where there is none, or it may not be used. */
  async start() {
    if (!navigator.mediaDevices?.getUserMedia) {
      throw new Error("A browser gives its camera to pages of this machine or over https alone.");
    }
    try {
      this.stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: { ideal: "environment" } } });
    } catch (error) {
      const denied = error.name === "NotAllowedError";
      throw new Error(denied ? "The camera may not be used: the browser was told so." : "No camera was found that is free.");
    }
    this.video.srcObject = this.stream;
    await this.video.play();
  }

  get on() {
    return this.stream !== null;
  }

  stop() {
    this.stream?.getTracks().forEach((track) => track.stop());
    this.stream = null;
    this.video.srcObject = null;
  }

  /** What is seen now, a JPEG. */
  async take() {
    const canvas = document.createElement("canvas");
    canvas.width = this.video.videoWidth;
    canvas.height = this.video.videoHeight;
    canvas.getContext("2d").drawImage(this.video, 0, 0);
    return new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.92));
  }
}
