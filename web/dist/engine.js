export class EngineError extends Error {
    gone;
    constructor(message, gone = false) {
        super(message);
        this.gone = gone;
    }
}
